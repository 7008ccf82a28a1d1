"""A run as one row of the table `runs`, exactly: what merging works on and what is stored."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from celeriac.history.attempts import Attempt, attempt_rows_of, past_of
from celeriac.history.instants import instant, instant_or_none, microseconds
from celeriac.history.row import AttemptRow, ErrorRow, ProgressRow, RunRow
from celeriac.history.states import PENDING, SCHEDULED


class Record(NamedTuple):
    """The columns of `runs` by name and in order.

    A named tuple, since a row of the database becomes one, and one is compared with another, at
    the cost of a tuple; recording does both for every event. Instants are microseconds. Long texts
    come last: SQLite reads a row from its start, and what is long lies on pages of its own.
    """

    id: str
    created_at: int
    state_at: int
    state: str = PENDING
    attempt: int = 0
    """The newest attempt that is known; 0 before the first. State, result and error are its."""
    task: str | None = None
    fingerprint: str | None = None
    progress: str | None = None
    progress_at: int | None = None
    progress_attempt: int = 0
    queue: str | None = None
    priority: int | None = None
    tags: str | None = None
    worker: str | None = None
    submitted_at: int | None = None
    eta: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    parent_id: str | None = None
    root_id: str | None = None
    resubmit_of: str | None = None
    args: str | None = None
    result: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    past_attempts: str | None = None
    """Earlier attempts, and how the newest began if not by one start, as JSON; often neither."""

    def newest(self) -> Attempt:
        """Give the newest attempt."""
        beginning = next((p for p in past_of(self.past_attempts) if p.number == self.attempt), None)
        return Attempt(
            self.attempt,
            self.state,
            self.state_at,
            self.started_at,
            self.worker,
            self.error_type,
            self.error_message,
            beginning.starts if beginning else (),
            beginning.replayed_at if beginning else None,
            beginning.handed_back if beginning else (),
        )

    def past(self) -> list[Attempt]:
        """Give the attempts before the newest."""
        return [each for each in past_of(self.past_attempts) if each.number != self.attempt]

    def tag_names(self) -> list[str]:
        """Give the tags."""
        return json.loads(self.tags) if self.tags else []

    def first_started_at(self) -> int | None:
        """Give when the run was first executed."""
        if self.past_attempts is None:
            return self.started_at
        starts = [start for each in (*self.past(), self.newest()) for start in each.all_starts]
        return starts[0][0] if starts else None


FIELDS = Record._fields


def run_row(record: Record, now: datetime) -> RunRow:
    """Give the run as people see it at this instant."""
    return RunRow(
        id=record.id,
        task=record.task,
        state=_state(record, now),
        args=_parsed(record.args),
        result=_parsed(record.result),
        error=_error(record),
        progress=_progress(record),
        queue=record.queue,
        priority=record.priority,
        tags=tuple(record.tag_names()),
        attempts=_attempts(record),
        worker=record.worker,
        submitted_at=instant(
            record.created_at if record.submitted_at is None else record.submitted_at
        ),
        eta=instant_or_none(record.eta),
        started_at=instant_or_none(_last_started_at(record)),
        finished_at=instant_or_none(record.finished_at),
        parent_id=record.parent_id,
        root_id=record.root_id,
        resubmit_of=record.resubmit_of,
    )


def attempt_rows(record: Record) -> tuple[AttemptRow, ...]:
    """Give the attempts, the first one first; one that neither began nor was replayed is none."""
    known = (*record.past(), record.newest())
    attempts = [each for each in known if each.executed or each.replayed_at is not None]
    return tuple(row for attempt in attempts for row in attempt_rows_of(attempt))


def _state(record: Record, now: datetime) -> str:
    waits = record.state == PENDING and record.eta is not None
    return SCHEDULED if waits and (record.eta or 0) > microseconds(now) else record.state


def _attempts(record: Record) -> int:
    """Count the executions: an attempt that was revoked while it waited is none."""
    return record.attempt if record.newest().executed else max(record.attempt - 1, 0)


def _last_started_at(record: Record) -> int | None:
    if record.started_at is not None or not record.past_attempts:
        return record.started_at
    return max((past.started_at or 0 for past in record.past()), default=0) or None


def _error(record: Record) -> ErrorRow | None:
    if record.error_type is None:
        return None
    return ErrorRow(record.error_type, record.error_message or "", record.error_traceback)


def _progress(record: Record) -> ProgressRow | None:
    """Give the newest attempt's progress: a new attempt begins anew."""
    if record.progress is None or _of_older_attempt(record):
        return None
    current, total, message = json.loads(record.progress)
    return ProgressRow(current, total, message)


def _of_older_attempt(record: Record) -> bool:
    if record.progress_attempt:
        return record.progress_attempt < record.attempt
    return record.started_at is not None and (record.progress_at or 0) < record.started_at


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
