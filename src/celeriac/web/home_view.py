"""The home page's numbers as people read them: tiles, rows of the charts, first steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celeriac.catalog import TaskSpec
from celeriac.runs import Failure, Glance, Stats, StatsBucket
from celeriac.web.look import duration_words
from celeriac.web.run_view import RunView

NOTHING: Final = "\N{EN DASH}"
FLAT_BELOW: Final = 0.005
"""Changes below half a percent are noise to an eye."""
MOST_TIMES: Final = 10
FIRST_TASK: Final = "text.reverse"
FIRST_ARGS: Final = {"text": "Hello, Celeriac!"}
"""The task that comes along and can do no harm, for whoever has run nothing yet."""


CHARTS: Final = {
    "throughput": {
        "Succeeded": "succeeded",
        "Failed": "failed",
        "Cancelled": "revoked",
        "Submitted": "submitted",
    },
    "durations": {
        "Median runtime": "runtime_p50_s",
        "Runtime p95": "runtime_p95_s",
        "Waiting p95": "waiting_p95_s",
    },
}
"""What the charts draw, in the order of their legends: words, and fields of a bucket."""


@dataclass(frozen=True)
class Change:
    """How a number compares with the time before; `mood` is a CSS class."""

    words: str
    arrow: str
    mood: str


@dataclass(frozen=True)
class Tile:
    """One number, what belongs to it, and how it has changed."""

    label: str
    hint: str
    value: str
    note: str
    change: Change | None
    before: str


@dataclass(frozen=True)
class Point:
    """One bucket of the charts, and the addresses of the runs that it counts."""

    bucket: StatsBucket
    until: datetime
    base: str

    @property
    def submitted(self) -> str:
        """Give the address of those that were submitted."""
        return f"{self.base}?since={self._begins}&until={self._ends}"

    def ended(self, *states: str) -> str:
        """Give the address of those that ended so."""
        times = f"finished_since={self._begins}&finished_until={self._ends}"
        return f"{self.base}?{times}" + "".join(f"&state={state}" for state in states)

    @property
    def _begins(self) -> str:
        return _in_address(self.bucket.starts_at)

    @property
    def _ends(self) -> str:
        return _in_address(self.until)


@dataclass(frozen=True)
class FirstSteps:
    """What a newcomer can do now: a task, and the form's values if they are known."""

    spec: TaskSpec
    args: dict[str, Any]


def tiles_of(glance: Glance) -> tuple[Tile, ...]:
    """Give the tiles; none where the history cannot tell."""
    stats, before = glance.stats.value, glance.before.value
    if stats is None:
        return ()
    return tuple(_tiles(stats.total, before.total if before else None, glance))


def _tiles(now: StatsBucket, before: StatsBucket | None, glance: Glance) -> Iterator[Tile]:
    minutes = glance.span.length / timedelta(minutes=1)
    yield Tile(
        "Runs submitted",
        "",
        f"{now.submitted:,}",
        rate_words(now.submitted, minutes),
        _relative(now.submitted, before.submitted if before else None, good=None),
        f"{before.submitted:,}" if before else "",
    )
    yield Tile(
        "Success rate",
        "Of the runs that succeeded or failed; those that were cancelled do not count.",
        percent(now.success_rate),
        f"{now.failed:,} failed, {now.revoked:,} cancelled",
        _points(now.success_rate, before.success_rate if before else None),
        percent(before.success_rate) if before else "",
    )
    for label, name, hint in (
        ("Runtime p95", "runtime", "19 of 20 runs took no longer."),
        ("Waiting p95", "waiting", "19 of 20 runs lay in their queue no longer."),
    ):
        seconds = getattr(now, f"{name}_p95_s")
        earlier = getattr(before, f"{name}_p95_s") if before else None
        yield Tile(
            label,
            hint,
            duration_words(seconds),
            f"median {duration_words(getattr(now, f'{name}_p50_s'))}",
            _relative(seconds, earlier, good="down"),
            duration_words(earlier) if earlier is not None else "",
        )


def percent(share: float | None) -> str:
    """Write a share; one that is not whole never reads as 100 or 0."""
    if share is None:
        return NOTHING
    shown = 100 * share
    rounded = round(shown, 1)
    if rounded in (0.0, 100.0) and shown != rounded:
        return "> 99.9 %" if rounded else "< 0.1 %"
    return f"{rounded:g} %"


_UNITS: Final = (("a minute", 1), ("an hour", 60), ("a day", 1440))


def rate_words(count: int, minutes: float) -> str:
    """Say how often that is, in the unit in which it is a number that people can picture."""
    rates = [(count * length / minutes, unit) for unit, length in _UNITS]
    often, unit = next((rate for rate in rates if rate[0] >= 1), rates[-1] if count else rates[0])
    return f"{often:,.0f} {unit}" if often >= 100 else f"{often:.3g} {unit}"


def _relative(now: float | None, before: float | None, good: str | None) -> Change | None:
    """Compare by proportion; `good` is the way that people like, if there is one."""
    if not now or not before:
        return None
    ratio = now / before
    if abs(ratio - 1) < FLAT_BELOW:
        return Change("as before", "", "flat")
    words = f"{ratio:,.0f} times" if ratio >= MOST_TIMES else f"{abs(ratio - 1) * 100:.0f} %"
    return _change(words, ratio > 1, good)


def _points(now: float | None, before: float | None) -> Change | None:
    """Compare two shares by their difference."""
    if now is None or before is None:
        return None
    points = 100 * (now - before)
    if abs(points) < 0.05:
        return Change("as before", "", "flat")
    return _change(f"{abs(points):.1f} points", points > 0, "up")


def _change(words: str, is_up: bool, good: str | None) -> Change:
    arrow = "up" if is_up else "down"
    mood = "flat" if good is None else "good" if good == arrow else "bad"
    return Change(words, arrow, mood)


def _in_address(at: datetime) -> str:
    """Write an instant in UTC without a sign that an address would have to escape."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def points_of(stats: Stats | None, base: str) -> tuple[Point, ...]:
    """Give the buckets with their ends; `base` is the address of the list of runs."""
    if stats is None:
        return ()
    width = timedelta(seconds=stats.bucket_s)
    return tuple(Point(bucket, bucket.starts_at + width, base) for bucket in stats.buckets)


def charts_of(stats: Stats | None) -> dict[str, Any]:
    """Give what each chart draws: the names of its lines, their values, and these in words."""
    if stats is None:
        return {}
    starts = [int(bucket.starts_at.timestamp()) for bucket in stats.buckets]
    charts = {name: _chart(stats, lines) for name, lines in CHARTS.items()}
    return {"bucketS": stats.bucket_s, "starts": starts, **charts}


def _chart(stats: Stats, lines: Mapping[str, str]) -> dict[str, Any]:
    values = [[getattr(bucket, name) for bucket in stats.buckets] for name in lines.values()]
    are_durations = all(name.endswith("_s") for name in lines.values())
    words = [[duration_words(value) for value in line] for line in values] * are_durations
    return {"names": list(lines), "values": values, "words": words}


def running_views(glance: Glance) -> tuple[RunView, ...]:
    """Give the runs that execute now."""
    return tuple(map(RunView, glance.running.value.runs)) if glance.running.value else ()


def failure_title(failure: Failure) -> str:
    """Name an error shortly: the last part of its type."""
    return failure.error_type.rpartition(".")[2] or failure.error_type


def first_steps(tasks: Sequence[TaskSpec]) -> FirstSteps | None:
    """Choose the task that is easiest to run; None where there is no task."""
    for spec in tasks:
        if spec.name == FIRST_TASK:
            return FirstSteps(spec, dict(FIRST_ARGS))
    easiest = min(tasks, key=lambda spec: (_needed(spec), spec.name), default=None)
    return FirstSteps(easiest, {}) if easiest else None


def _needed(spec: TaskSpec) -> int:
    required: Iterable[str] = spec.schema.get("required", ())
    return len(list(required))


def deepest(depths: Iterable[int | None]) -> int:
    """Give the greatest depth, 1 at least: bars are drawn against it."""
    return max((depth or 0 for depth in depths), default=0) or 1
