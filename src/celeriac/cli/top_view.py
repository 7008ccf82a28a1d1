"""What `celeriac top` shows: a `Glance` as tables that fit a terminal's width and height."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from celeriac.cli.columns import chart
from celeriac.cli.plain import one_line, plain
from celeriac.cli.show_stats import duration, rate
from celeriac.runs import Failure, Glance, Part, Queue, Run, Stats, Worker

WIDE = 100
NARROW = 60
CHART_LINES = 6
FEWEST_ROWS = 3
MOST_ROWS = 6
PANEL_LINES = 2
NOTHING = "\N{EN DASH}"


def screen(glance: Glance, width: int, height: int | None) -> RenderableType:
    """Draw everything for a terminal of this size; without a height, as long as it gets."""
    rows = _rows(height, width >= WIDE)
    running = _panel("Running", _running(glance, rows, width), _running_total(glance))
    failures = _panel(f"Failures, {glance.span.name}", _failures(glance, rows, width))
    queues = _panel("Queues", _queues(glance, rows), _letters(glance))
    workers = _panel("Workers", _workers(glance, rows))
    head: list[RenderableType] = [_title(glance, width), _overview(glance, width)]
    if width < WIDE:
        return Group(*head, queues, workers, running, failures)
    sides = Table.grid(Column(ratio=3), Column(ratio=2), expand=True)
    sides.add_row(Group(running, failures), Group(queues, workers))
    return Group(*head, sides)


def _rows(height: int | None, is_wide: bool) -> int:
    """Give how many rows each list may have."""
    if height is None:
        return MOST_ROWS
    lists = 2 if is_wide else 4
    left = height - 1 - CHART_LINES - PANEL_LINES - lists * PANEL_LINES
    return max(FEWEST_ROWS if is_wide else 2, min(MOST_ROWS, left // lists))


def _panel(title: str, content: RenderableType, more: str | Text = "") -> Panel:
    note = Text(more, "dim") if isinstance(more, str) else more
    words = Text.assemble((title, "bold"), " " if more else "", note)
    return Panel(content, title=words, title_align="left", border_style="dim", box=box.ROUNDED)


def _missing(part: Part[object], what: str) -> Text | None:
    """Say why a part is not there, or that there is nothing of it."""
    if part.problem:
        return plain(f"! {part.problem}", "yellow")
    return None if part.value else Text(what, "dim")


# --- What happened over time ----------------------------------------------------------------------


def _title(glance: Glance, width: int) -> Text:
    now = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
    title = Text.assemble(
        (" celeriac top ", "bold green"), (f" {now} ", ""), (f" last {glance.span.words} ", "dim")
    )
    keys = "q quit  +/- range "
    room = width - title.cell_len - len(keys)
    return title.append(" " * room + keys, "dim") if room > 0 else title


def _overview(glance: Glance, width: int) -> Panel:
    stats = glance.stats.value
    if stats is None:
        return _panel("Runs", plain(f"! {glance.stats.problem}", "yellow"))
    numbers = _numbers(stats, glance)
    if width < NARROW:
        return _panel("Runs", Group(numbers, _chart(stats, width - 4)))
    grid = Table.grid(Column(width=34), Column(ratio=1), expand=True, padding=(0, 2, 0, 0))
    grid.add_row(numbers, _chart(stats, width - 42))
    bucket = f"a column is {duration(stats.bucket_s)}"
    return _panel("Runs", grid, bucket)


def _chart(stats: Stats, width: int) -> Text:
    columns = [(each.succeeded, each.failed + each.revoked) for each in stats.buckets]
    return chart(columns, max(width, 10), CHART_LINES)


def _numbers(stats: Stats, glance: Glance) -> Table:
    total = stats.total
    minutes = glance.span.length.total_seconds() / 60
    grid = Table.grid(Column(justify="right", style="bold"), Column(), padding=(0, 1, 0, 0))
    grid.add_row(f"{total.submitted:,}", Text(f"submitted, {total.submitted / minutes:.3g} a min"))
    grid.add_row(
        rate(total), Text.assemble("of ", f"{total.succeeded + total.failed:,}", " ended well")
    )
    grid.add_row(*_ill(total.failed, total.revoked))
    for name in ("runtime", "waiting"):
        median = duration(getattr(total, f"{name}_p50_s"))
        p95 = duration(getattr(total, f"{name}_p95_s"))
        grid.add_row(median, Text.assemble(name, (f", p95 {p95}", "dim")))
    grid.add_row(*_recorder(glance))
    return grid


def _ill(failed: int, revoked: int) -> tuple[Text, Text]:
    style = "red" if failed else ""
    return Text(f"{failed:,}", style), Text(f"failed, {revoked:,} cancelled", style)


def _recorder(glance: Glance) -> tuple[Text, Text]:
    lag = glance.lag.value
    if lag is None:
        return Text("!", "yellow"), Text("Redis does not answer", "yellow")
    style = "yellow" if lag.is_noteworthy else "dim"
    words = "events behind" if lag.is_running else "events, no recorder"
    return Text(f"{lag.entries:,}", style), Text(words, style)


# --- Lists ----------------------------------------------------------------------------------------


def _running_total(glance: Glance) -> str:
    running = glance.running.value
    return f"{running.total:,}{'+' if running.is_capped else ''}" if running else ""


def _running(glance: Glance, rows: int, width: int) -> RenderableType:
    if glance.running.value is None or not glance.running.value.runs:
        return _missing(Part(None, glance.running.problem), "No task is being executed.") or ""
    table = Table.grid(
        Column(ratio=1, no_wrap=True), Column(no_wrap=True), Column(justify="right"),
        Column(width=12), Column(justify="right", width=5), expand=True, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for run in glance.running.value.runs[:rows]:
        table.add_row(*_run_row(run, width))
    return table


def _run_row(run: Run, width: int) -> Iterator[RenderableType]:
    words = [plain(run.task or "unknown task", "bold")]
    if run.progress and run.progress.message and width >= WIDE:
        words.append(plain(f"  {_line(run.progress.message)}", "dim"))
    yield Text.assemble(*words, overflow="ellipsis")
    yield plain(f"…{run.id[-6:]}", "dim")
    age_s = (datetime.now(UTC) - run.started_at).total_seconds() if run.started_at else None
    yield Text(duration(max(age_s, 0) if age_s is not None else None))
    share = _share(run)
    yield ProgressBar(total=1, completed=share or 0, width=12) if share is not None else Text("")
    yield Text(f"{share:.0%}" if share is not None else "")


def _share(run: Run) -> float | None:
    progress = run.progress
    if progress is None or progress.current is None or not progress.total:
        return None
    try:
        share = progress.current / progress.total
    except OverflowError:
        return None
    return min(max(share, 0.0), 1.0) if share == share else None


def _failures(glance: Glance, rows: int, width: int) -> RenderableType:
    if not glance.failures.value:
        return _missing(Part(None, glance.failures.problem), "No run has failed.") or ""
    table = Table.grid(
        Column(justify="right", style="bold red"), Column(no_wrap=True, ratio=2),
        Column(no_wrap=True, ratio=3), Column(justify="right", no_wrap=True),
        expand=True, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for failure in glance.failures.value[:rows]:
        table.add_row(*_failure_row(failure))
    return table


def _failure_row(failure: Failure) -> Iterator[Text]:
    yield Text(f"{failure.count:,}\N{MULTIPLICATION SIGN}")
    kind = failure.error_type.rpartition(".")[2]
    task = plain(f" {failure.task or ''}", "dim")
    yield Text.assemble(plain(kind, "red"), task, overflow="ellipsis")
    yield Text.assemble(plain(_line(failure.error_message)), overflow="ellipsis")
    age_s = (datetime.now(UTC) - failure.last_seen_at).total_seconds()
    yield Text(f"{_coarse(age_s)} ago" if age_s >= 1 else "just now", "dim")


def _coarse(seconds: float) -> str:
    """Write an age with one unit: the row has little room."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _queues(glance: Glance, rows: int) -> RenderableType:
    if not glance.queues.value:
        return _missing(Part(None, glance.queues.problem), "There is no queue.") or ""
    queues = sorted(glance.queues.value, key=lambda queue: -(queue.ready or 0))[:rows]
    deepest = max((queue.ready or 0 for queue in queues), default=0) or 1
    table = Table.grid(
        Column(ratio=1, no_wrap=True), Column(justify="right", no_wrap=True), Column(width=10),
        expand=True, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for queue in queues:
        table.add_row(*_queue_row(queue, deepest))
    return table


def _letters(glance: Glance) -> Text:
    """Say how many dead letters wait for somebody, if any."""
    count = glance.letters.value or 0
    letters = "1 dead letter" if count == 1 else f"{count:,} dead letters"
    return Text(letters if count else "", "red")


def _queue_row(queue: Queue, deepest: int) -> Iterator[RenderableType]:
    mark = (" paused", "yellow") if queue.paused else ("", "")
    if queue.consumers == 0 and not queue.paused:
        mark = (" no worker", "yellow")
    yield Text.assemble(plain(queue.name, "bold"), mark, overflow="ellipsis")
    ready = NOTHING if queue.ready is None else f"{queue.ready:,}"
    busy = f", {queue.running:,} running" if queue.running else ""
    yield Text.assemble((ready, "bold"), " waiting", (busy, "dim"))
    yield ProgressBar(total=deepest, completed=queue.ready or 0, width=10, complete_style="cyan")


def _workers(glance: Glance, rows: int) -> RenderableType:
    if not glance.workers.value:
        words = "No worker; start one with `celeriac worker`."
        return _missing(Part(None, glance.workers.problem), words) or ""
    table = Table.grid(
        Column(ratio=1, no_wrap=True), Column(justify="right", no_wrap=True), Column(width=10),
        expand=True, padding=(0, 1, 0, 0),
    )  # fmt: skip
    alive_first = sorted(glance.workers.value, key=lambda worker: not worker.state.is_alive)
    for worker in alive_first[:rows]:
        table.add_row(*_worker_row(worker))
    return table


def _worker_row(worker: Worker) -> Iterator[RenderableType]:
    style = {"online": "green", "stopping": "yellow", "lost": "red"}.get(worker.state, "dim")
    yield Text.assemble(("● ", style), plain(worker.name, "bold"), overflow="ellipsis")
    if not worker.state.is_alive:
        yield Text(str(worker.state), style)
        yield Text("")
        return
    away = "" if worker.connected else ", no broker"
    yield Text.assemble(f"{worker.active_count} of {worker.concurrency}", (away, "yellow"))
    busy = min(worker.active_count, worker.concurrency)
    yield ProgressBar(total=max(worker.concurrency, 1), completed=busy, width=10)


def _line(text: str) -> str:
    return one_line(text[:400])
