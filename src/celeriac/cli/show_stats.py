"""Statistics in the terminal: totals as a table, each with its course over time."""

from collections.abc import Iterable, Sequence
from math import ceil

from rich.table import Table
from rich.text import Text

from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.run_table import STYLES
from celeriac.runs import RunState, Stats, StatsBucket

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 60
NOTHING = "\N{EN DASH}"


def print_stats(found: Stats) -> None:
    """Print the totals."""
    console = printer()
    console.print(_title(found))
    table = Table(box=None, pad_edge=False, show_header=False)
    for style, label, words, line in _rows(found):
        table.add_row(Text(label, style), Text(words, justify="right"), Text(line, style))
    console.print(table)
    if found.recorder and (found.recorder.problem or found.recorder.lag_entries):
        recorder = found.recorder
        text = f"{recorder.lag_entries:,} events wait to be recorded ({recorder.lag_s:,.1f} s)"
        console.print(plain(f"{text}. {recorder.problem or ''}".strip(), "yellow"))


def _title(found: Stats) -> Text:
    begins = found.since.astimezone().strftime("%Y-%m-%d %H:%M")
    ends = found.until.astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return Text.assemble(
        (f"{begins} to {ends}", "bold"), (f", a bar is {duration(found.bucket_s)}", "dim")
    )


def _rows(found: Stats) -> Iterable[tuple[str, str, str, str]]:
    total, buckets = found.total, found.buckets
    counts = (
        ("", "submitted", "submitted"),
        (_style(RunState.SUCCESS), "succeeded", "succeeded"),
        (_style(RunState.FAILURE), "failed", "failed"),
        (_style(RunState.REVOKED), "cancelled", "revoked"),
    )
    for style, label, name in counts:
        line = sparkline([getattr(each, name) for each in buckets])
        yield style, label, f"{getattr(total, name):,}", line
    yield "", "success rate", rate(total), ""
    for label, name in (("runtime", "runtime"), ("waiting", "waiting")):
        for share in ("p50", "p95"):
            values = [getattr(each, f"{name}_{share}_s") or 0 for each in buckets]
            words = duration(getattr(total, f"{name}_{share}_s"))
            yield "", f"{label} {share}", words, sparkline(values)


def _style(state: RunState) -> str:
    return STYLES[state][1]


def sparkline(values: Sequence[float], width: int = WIDEST) -> str:
    """Draw values as a line of bars, the highest full; a blank is a zero."""
    values = _squeezed(values, width)
    top = max(values, default=0)
    return "".join(_bar(value, top) for value in values)


def _bar(value: float, top: float) -> str:
    return BARS[max(ceil(value / top * len(BARS)), 1) - 1] if value > 0 else " "


def _squeezed(values: Sequence[float], width: int) -> Sequence[float]:
    """Join neighbours until they fit: the highest of them is what matters."""
    step = -(-len(values) // max(width, 1)) or 1
    # From the end, so that the newest bar is as wide as the others.
    ends = range(len(values), 0, -step)
    return [max(values[max(0, end - step) : end]) for end in ends][::-1]


def rate(bucket: StatsBucket) -> str:
    """Write the share of runs that ended well."""
    share = bucket.success_rate
    return NOTHING if share is None else f"{100 * share:.4g} %"


def duration(seconds: float | None) -> str:
    """Write a duration at a precision that fits its size."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
