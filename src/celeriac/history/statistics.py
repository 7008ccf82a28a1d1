"""How many runs, how long they took and waited, over time: kept beside the runs, never recounted.

Counts and histograms of durations for each minute, and for wider slots of time, are changed in the
transaction that changes the runs, by the difference that it makes. So they are exact (percentiles
within 4.5 %, see `durations`), and a chart over a million runs reads a few hundred small rows.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Connection, Row, bindparam, select, tuple_

from celeriac.history.durations import (
    Histogram,
    bin_of,
    dumped,
    histogram,
    numbered,
    percentile_s,
)
from celeriac.history.instants import SECOND_US, instant, microseconds
from celeriac.history.record import Record
from celeriac.history.states import DEAD, FAILURE, REVOKED, SUCCESS
from celeriac.history.tables import stat_slots

MINUTE_S = 60
WIDTHS_S = (MINUTE_S, 5 * MINUTE_S, 60 * MINUTE_S, 6 * 60 * MINUTE_S)
"""How wide slots are; each width is a multiple of the one before it."""
SUBMITTED, SUCCEEDED, FAILED, REVOKED_COUNT = "submitted", "succeeded", "failed", "revoked"
ENDS = {SUCCESS: SUCCEEDED, FAILURE: FAILED, DEAD: FAILED, REVOKED: REVOKED_COUNT}


@dataclass(frozen=True)
class Bucket:
    """What happened from `starts_at` on. Durations are seconds, None where nothing was measured.

    A run counts as submitted when it was created, as ended when it ended; its runtime is the last
    attempt's and belongs to its end, its wait (after its ETA, if any) to the start that ended it.
    """

    starts_at: datetime
    submitted: int
    succeeded: int
    failed: int
    revoked: int
    runtime_p50_s: float | None
    runtime_p95_s: float | None
    waiting_p50_s: float | None
    waiting_p95_s: float | None


@dataclass(frozen=True)
class Statistics:
    """Buckets of equal width, oldest first and without gaps, and the whole range as one bucket."""

    bucket_s: int
    buckets: tuple[Bucket, ...]
    total: Bucket


@dataclass
class _Tally:
    """A slot's content, or a change of it."""

    counts: Counter[str] = field(default_factory=Counter)
    runtimes: Histogram = field(default_factory=Counter)
    waits: Histogram = field(default_factory=Counter)

    def add(self, other: "_Tally") -> None:
        """Add another tally, whose numbers may be negative."""
        for mine, its in (
            (self.counts, other.counts),
            (self.runtimes, other.runtimes),
            (self.waits, other.waits),
        ):
            mine.update(its)  # type: ignore[arg-type]

    def bucket(self, starts_at: int) -> Bucket:
        """Give it to people."""
        return Bucket(
            starts_at=instant(starts_at),
            submitted=self.counts[SUBMITTED],
            succeeded=self.counts[SUCCEEDED],
            failed=self.counts[FAILED],
            revoked=self.counts[REVOKED_COUNT],
            runtime_p50_s=percentile_s(self.runtimes, 0.5),
            runtime_p95_s=percentile_s(self.runtimes, 0.95),
            waiting_p50_s=percentile_s(self.waits, 0.5),
            waiting_p95_s=percentile_s(self.waits, 0.95),
        )


_Texts = Sequence[str]
"""A slot's three columns of JSON."""


class _Slot(NamedTuple):
    width_s: int
    starts_at: int


def record(connection: Connection, before: Iterable[Record], after: Iterable[Record]) -> None:
    """Change the slots by the difference between these records."""
    changes = _changes(before, after)
    if not changes:
        return
    for slot, tally in _stored(connection, changes).items():
        changes[slot].add(tally)
    gone = stat_slots.delete().where(
        stat_slots.c.width_s == bindparam("slot_width_s"),
        stat_slots.c.starts_at == bindparam("slot_starts_at"),
    )
    keys = [{"slot_width_s": s.width_s, "slot_starts_at": s.starts_at} for s in changes]
    connection.execute(gone, keys)
    connection.execute(stat_slots.insert(), [_row(*item) for item in changes.items()])


def statistics(
    connection: Connection, since: datetime, until: datetime, buckets: int
) -> Statistics:
    """Sum up the time from `since` to `until` in about this many buckets.

    They are widened to whole slots, the widest that fit, and the first one begins with its slot, a
    little before `since`; so there may be fewer, or one more.
    """
    wanted_s = (until - since).total_seconds() / max(buckets, 1)
    width_s = max((w for w in WIDTHS_S if w <= wanted_s), default=MINUTE_S)
    bucket_s = max(ceil(wanted_s / width_s), 1) * width_s
    start = microseconds(since) // (width_s * SECOND_US) * (width_s * SECOND_US)
    number = max(ceil((microseconds(until) - start) / (bucket_s * SECOND_US)), 1)
    texts: list[list[_Texts]] = [[] for _ in range(number)]
    for slot in _between(connection, width_s, start, microseconds(until)):
        texts[(slot.starts_at - start) // (bucket_s * SECOND_US)].append(slot[1:])
    tallies = [_summed(each) for each in texts]
    total = _Tally()
    for tally in tallies:
        total.add(tally)
    starts = (start + i * bucket_s * SECOND_US for i in range(number))
    measured = tuple(tally.bucket(at) for tally, at in zip(tallies, starts, strict=True))
    return Statistics(bucket_s, measured, total.bucket(start))


def forget(connection: Connection, before: datetime) -> None:
    """Remove the slots of the time before this instant."""
    connection.execute(stat_slots.delete().where(stat_slots.c.starts_at < microseconds(before)))


def _changes(before: Iterable[Record], after: Iterable[Record]) -> dict[_Slot, _Tally]:
    differences: Counter[tuple[int, str, str | int]] = Counter()
    for sign, records in ((1, after), (-1, before)):
        for each in records:
            for part in _parts(each):
                differences[part] += sign
    changes: dict[_Slot, _Tally] = defaultdict(_Tally)
    for (minute, measure, key), number in differences.items():
        if number:
            for width_s in WIDTHS_S:
                starts_at = minute * MINUTE_S // width_s * width_s * SECOND_US
                getattr(changes[_Slot(width_s, starts_at)], measure)[key] += number
    return changes


def _parts(record: Record) -> Iterator[tuple[int, str, str | int]]:
    """Give what one run adds: in which minute, to which measure, as what."""
    yield _minute(record.created_at), "counts", SUBMITTED
    started_at = record.first_started_at()
    if started_at is not None:
        ready_at = max(record.submitted_at or record.created_at, record.eta or 0)
        yield _minute(started_at), "waits", bin_of(started_at - ready_at)
    if record.finished_at is None:
        return
    minute = _minute(record.finished_at)
    yield minute, "counts", ENDS[record.state]
    if record.started_at is not None and record.finished_at >= record.started_at:
        yield minute, "runtimes", bin_of(record.finished_at - record.started_at)


def _minute(at_us: int) -> int:
    return at_us // (MINUTE_S * SECOND_US)


def _stored(connection: Connection, slots: Iterable[_Slot]) -> dict[_Slot, _Tally]:
    columns = stat_slots.c
    wanted = tuple_(columns.width_s, columns.starts_at).in_([tuple(slot) for slot in slots])
    return dict(_read(connection, wanted))


def _between(connection: Connection, width_s: int, start: int, end: int) -> Iterable[Row[Any]]:
    columns = stat_slots.c
    query = select(columns.starts_at, columns.counts, columns.runtimes, columns.waits).where(
        columns.width_s == width_s, columns.starts_at >= start, columns.starts_at < end
    )
    return connection.execute(query)


def _summed(slots: Iterable[_Texts]) -> _Tally:
    """Add up slots as they are stored: a chart has hundreds, so each is parsed in one go."""
    sums: tuple[dict[str, int], dict[str, int], dict[str, int]] = ({}, {}, {})
    for texts in slots:
        for total, its in zip(sums, from_json("[{},{},{}]".format(*texts)), strict=True):
            for key, number in its.items():
                total[key] = total.get(key, 0) + number
    counts, runtimes, waits = sums
    return _Tally(Counter(counts), numbered(runtimes), numbered(waits))


def _read(connection: Connection, wanted: ColumnElement[bool]) -> Iterator[tuple[_Slot, _Tally]]:
    for width_s, starts_at, counts, runtimes, waits in connection.execute(
        select(stat_slots).where(wanted)
    ):
        tally = _Tally(Counter(json.loads(counts)), histogram(runtimes), histogram(waits))
        yield _Slot(width_s, starts_at), tally


def _row(slot: _Slot, tally: _Tally) -> dict[str, object]:
    return {
        "width_s": slot.width_s,
        "starts_at": slot.starts_at,
        "counts": dumped(tally.counts),
        "runtimes": dumped(tally.runtimes),
        "waits": dumped(tally.waits),
    }
