"""The attempts of a run: how two accounts of one become one, and how earlier ones are stored."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from celeriac.history.instants import instant_or_none
from celeriac.history.row import AttemptRow, ErrorRow
from celeriac.history.states import PENDING, RANK, REVOKED, STARTED


class Attempt(NamedTuple):
    """What is known of one attempt; instants are microseconds."""

    number: int
    state: str
    state_at: int
    started_at: int | None = None
    worker: str | None = None
    error_type: str | None = None
    error_message: str | None = None

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
    starts = [start for start in (one.started_at, other.started_at) if start is not None]
    return later._replace(
        # A redelivered message starts the same attempt again; its later start counts.
        started_at=max(starts, default=None),
        worker=later.worker or earlier.worker,
    )


def with_past(past_attempts: str | None, attempt: Attempt) -> str:
    """Add an account of an earlier attempt to the stored ones."""
    by_number = {past.number: past for past in past_of(past_attempts)}
    known = by_number.get(attempt.number)
    by_number[attempt.number] = joined(known, attempt) if known else attempt
    return _dumped(by_number[number] for number in sorted(by_number))


def past_of(past_attempts: str | None) -> list[Attempt]:
    """Read the stored attempts, in order."""
    return [Attempt(*values) for values in json.loads(past_attempts)] if past_attempts else []


def attempt_row(attempt: Attempt) -> AttemptRow:
    """Give the attempt as people see it."""
    return AttemptRow(
        number=attempt.number,
        state=attempt.state,
        started_at=instant_or_none(attempt.started_at),
        finished_at=instant_or_none(None if attempt.state == STARTED else attempt.state_at),
        worker=attempt.worker,
        error=ErrorRow(attempt.error_type, attempt.error_message or "")
        if attempt.error_type
        else None,
    )


def _dumped(attempts: Iterable[Attempt]) -> str:
    return json.dumps(list(attempts), ensure_ascii=False, separators=(",", ":"))
