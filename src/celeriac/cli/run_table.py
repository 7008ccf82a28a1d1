"""Runs as a table, one a line, with as many columns as there is room for."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.table import Column, Table
from rich.text import Text

from celeriac.cli.plain import plain
from celeriac.runs import Run, RunState

STYLES = {
    RunState.PENDING: ("○", "white"),
    RunState.SCHEDULED: ("◷", "cyan"),
    RunState.STARTED: ("▶", "blue"),
    RunState.RETRY: ("↻", "yellow"),
    RunState.SUCCESS: ("✔", "green"),
    RunState.FAILURE: ("✖", "red"),
    RunState.REVOKED: ("⊘", "magenta"),
    RunState.DEAD: ("☠", "bold red"),
}
LAYOUTS = (
    ("State", "Task", "Run", "Submitted", "Worker"),
    ("State", "Task", "Run", "Submitted"),
    ("State", "Task", "Run", "Age"),
    ("Task", "Run", "Age"),
    ("Task", "Run"),
)
"""From the widest to the narrowest. What another command needs goes last; an identifier that is
cut cannot be copied into one."""


def tables(runs: Sequence[Run], *, with_head: bool) -> list[Table]:
    """Draw the runs in each layout, the widest first."""
    return [_table(runs, layout, with_head=with_head) for layout in LAYOUTS]


def _table(runs: Sequence[Run], layout: Sequence[str], *, with_head: bool) -> Table:
    # Where even the narrowest is too wide, the name of the task goes over several lines.
    must_fold = "Task" if layout == LAYOUTS[-1] else None
    columns = [Column(name, no_wrap=name != must_fold, overflow="fold") for name in layout]
    table = Table(*columns, box=None, show_header=with_head)
    for each in runs:
        table.add_row(*(_CELLS[name](each) for name in layout))
    return table


def _state(run: Run) -> Text:
    icon, style = STYLES[run.state]
    return Text(f"{icon} {run.state}", style=style)


def _task(run: Run) -> Text:
    return plain(run.task or "unknown")


def _age(run: Run) -> Text:
    if run.submitted_at is None:
        return Text()
    seconds = max((datetime.now(UTC) - run.submitted_at).total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return Text(f"{seconds // size:.0f}{unit}")
    return Text(f"{seconds:.0f}s")


def instant(at: datetime | None) -> str | None:
    """Write an instant in the zone of whoever reads it."""
    return at.astimezone().isoformat(sep=" ", timespec="milliseconds") if at else None


_CELLS: dict[str, Callable[[Run], Text]] = {
    "State": _state,
    "Task": _task,
    "Run": lambda run: plain(run.id),
    "Submitted": lambda run: Text(instant(run.submitted_at) or ""),
    "Age": _age,
    "Worker": lambda run: plain(run.worker or ""),
}
