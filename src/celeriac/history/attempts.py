"""The attempts of a run: how two accounts of one become one, and how earlier ones are stored.

An attempt starts again when its message is redelivered because its worker was lost. Each start is
kept, so that the executions that were lost are seen too; a union of starts knows no order.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from celeriac.history.instants import instant_or_none
from celeriac.history.row import HANDED_BACK, LOST, AttemptRow, ErrorRow
from celeriac.history.states import PENDING, RANK, REVOKED, STARTED

MOST_STARTS = 20
"""Of an attempt that starts again and again, the newest starts are kept."""

_ALWAYS_STORED = 7

Start = tuple[int, str | None]
"""When, and on which worker."""


class Attempt(NamedTuple):
    """What is known of one attempt; instants are microseconds."""

    number: int
    state: str
    state_at: int
    started_at: int | None = None
    worker: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    starts: tuple[Start, ...] = ()
    """Every start, in order, where there is another than `started_at` on `worker`."""
    replayed_at: int | None = None
    """When a replayed dead letter began it."""
    handed_back: tuple[tuple[int, int], ...] = ()
    """Which starts, by their instants, a stopping worker handed back, and when."""

    @property
    def all_starts(self) -> tuple[Start, ...]:
        """Give every start, in order."""
        if self.starts or self.started_at is None:
            return self.starts
        return ((self.started_at, self.worker),)

    @property
    def has_more_than_its_record(self) -> bool:
        """Tell whether it has anything that the columns of its record have no place for."""
        return bool(self.starts or self.handed_back) or self.replayed_at is not None

    @property
    def executed(self) -> bool:
        """Tell whether it began: a run can be revoked while it waits."""
        return self.started_at is not None or self.state not in (PENDING, REVOKED)


def place(attempt: Attempt) -> tuple[int, int, str]:
    """Give where in the life of an attempt this account stands: the greater is the later."""
    return RANK[attempt.state], attempt.state_at, attempt.state


def joined(one: Attempt, other: Attempt) -> Attempt:
    """Make one account of two of the same attempt, whichever came first."""
    earlier, later = sorted(
        (one, other), key=lambda a: (place(a), a.error_type or "", a.worker or "")
    )
    replayed = [each.replayed_at for each in (one, other) if each.replayed_at is not None]
    starts = sorted({*one.all_starts, *other.all_starts}, key=lambda s: (s[0], s[1] or ""))
    merged = later._replace(
        # A redelivered message starts the same attempt again; its later start counts.
        started_at=starts[-1][0] if starts else None,
        worker=later.worker or earlier.worker,
        starts=(),
        replayed_at=min(replayed, default=None),
        handed_back=tuple(sorted({*one.handed_back, *other.handed_back})[-MOST_STARTS:]),
    )
    kept = tuple(starts[-MOST_STARTS:])
    return merged if kept == merged.all_starts else merged._replace(starts=kept)


def with_past(past_attempts: str | None, attempt: Attempt) -> str:
    """Add an account of an earlier attempt to the stored ones."""
    by_number = {past.number: past for past in past_of(past_attempts)}
    known = by_number.get(attempt.number)
    by_number[attempt.number] = joined(known, attempt) if known else attempt
    return _dumped(by_number[number] for number in sorted(by_number))


def with_newest(past_attempts: str | None, newest: Attempt) -> str | None:
    """Store what the columns of its record have no place for: starts, replay, hand-backs."""
    kept = [each for each in past_of(past_attempts) if each.number != newest.number]
    if newest.has_more_than_its_record:
        kept.append(
            Attempt(
                newest.number,
                PENDING,
                0,
                starts=newest.starts,
                replayed_at=newest.replayed_at,
                handed_back=newest.handed_back,
            )
        )
    return _dumped(kept) if kept else None


def past_of(past_attempts: str | None) -> list[Attempt]:
    """Read the stored attempts, in order."""
    return [_read(values) for values in json.loads(past_attempts)] if past_attempts else []


def _read(values: list[Any]) -> Attempt:
    attempt = Attempt(*values)
    return attempt._replace(
        starts=tuple((at, worker) for at, worker in attempt.starts),
        handed_back=tuple((at, until) for at, until in attempt.handed_back),
    )


def attempt_rows_of(attempt: Attempt) -> Iterator[AttemptRow]:
    """Give the attempt as people see it, after those executions of it that nobody ended."""
    # Of the longest rows the first starts were let go: then nobody knows which start this is.
    count = len(attempt.all_starts)
    starts = range(1, count + 1) if count < MOST_STARTS else [None] * count
    replayed_at = instant_or_none(attempt.replayed_at)
    handed_back = dict(attempt.handed_back)
    for start, (at, worker) in zip(starts, attempt.all_starts[:-1], strict=False):
        yield AttemptRow(
            number=attempt.number,
            state=HANDED_BACK if at in handed_back else LOST,
            started_at=instant_or_none(at),
            finished_at=instant_or_none(handed_back.get(at)),
            worker=worker,
            error=None,
            lost=True,
            replayed_at=replayed_at,
            start=start,
        )
    goes_on = attempt.state in (PENDING, STARTED)
    yield AttemptRow(
        number=attempt.number,
        state=attempt.state,
        started_at=instant_or_none(attempt.started_at),
        finished_at=instant_or_none(None if goes_on else attempt.state_at),
        worker=attempt.worker,
        error=ErrorRow(attempt.error_type, attempt.error_message or "")
        if attempt.error_type
        else None,
        replayed_at=replayed_at,
        start=starts[-1] if count else None,
    )


def _dumped(attempts: Iterable[Attempt]) -> str:
    # What is empty at the end is left out, as it was before there was such a thing.
    rows = [_without_empty_end([*attempt]) for attempt in attempts]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _without_empty_end(values: list[Any]) -> list[Any]:
    while len(values) > _ALWAYS_STORED and values[-1] in ((), None):
        values.pop()
    return values
