"""How an event changes the record of its run. Pure, and in any order the same events give the same.

A run's life is ordered by attempt, then by the state's rank, then by time (see `states.RANK`). An
event that stands earlier in that order than the record never moves it back; it only adds what was
unknown. The one exception is contradiction: where two events of workers tell different facts (a
retry with other arguments), the first that was seen stays.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from celeriac.events import Event, EventKind
from celeriac.history import values
from celeriac.history.attempts import Attempt, joined, place, with_newest, with_past
from celeriac.history.fingerprint import fingerprint
from celeriac.history.instants import created_at_us, microseconds
from celeriac.history.record import Record
from celeriac.history.states import DEAD, FAILURE, FINISHED

FACTS: Mapping[str, values.Reader] = {
    "task": values.name,
    "args": values.json_text,
    "queue": values.name,
    "parent_id": values.name,
    "root_id": values.name,
    "tags": values.tags,
    "resubmit_of": values.name,
}
SUBMITTED_FACTS: Mapping[str, values.Reader] = {
    **FACTS,
    "priority": values.number,
    "eta": values.instant,
}
Changes = dict[str, Any]


def merge_all(record: Record | None, events: Iterable[Event]) -> Record | None:
    """Merge the events of one run; None when there was no record and there are no events."""
    for event in events:
        record = merge(record, event)
    return record


def merge(record: Record | None, event: Event) -> Record:
    """Give the record with what this event adds; an unseen run begins with a record of its own."""
    at = microseconds(event.at)
    run_id = stored_id(event)
    made_at = created_at_us(run_id)
    if record is None:
        record = Record(run_id, at if made_at is None else made_at, at)
    data = values.mapping(event.data)
    changes = _life(record, event.kind, at, data)
    changes |= _facts(record, event.kind, at, data)
    if event.kind is EventKind.PROGRESS:
        changes |= _progress(record, at, data)
    if made_at is None and at < record.created_at:
        changes["created_at"] = at
    return record._replace(**changes) if changes else record


def stored_id(event: Event) -> str:
    """Give the identifier under which the event's run is stored."""
    return values.storable(event.run_id[: values.LONGEST_NAME])


def _facts(record: Record, kind: EventKind, at: int, data: Mapping[str, Any]) -> Changes:
    """Fill what is unknown; the (first) submission's own words win over everybody's."""
    submitted = kind is EventKind.SUBMITTED
    wins = submitted and (record.submitted_at is None or at < record.submitted_at)
    changes: Changes = {"submitted_at": at} if wins else {}
    for field, read in (SUBMITTED_FACTS if submitted else FACTS).items():
        if field in data and (wins or getattr(record, field) is None):
            value = read(data[field])
            if value is not None:
                changes[field] = value
    return changes


def _life(record: Record, kind: EventKind, at: int, data: Mapping[str, Any]) -> Changes:
    """Move the state on, or add to an earlier attempt."""
    if kind is EventKind.SUBMITTED:
        return {} if record.attempt else {"state_at": max(record.state_at, at)}
    outcome = _outcome(kind, data)
    step = Attempt(
        number=values.number(data.get("attempt")) or 1,
        # Progress and lines prove a start that was never seen.
        state=kind.state,
        state_at=at,
        started_at=at if kind is EventKind.STARTED else None,
        worker=values.name(data.get("worker")),
        error_type=outcome.get("error_type"),
        error_message=outcome.get("error_message"),
        replayed_at=at if kind is EventKind.REPLAYED else None,
        handed_back=_handed_back(data) if kind is EventKind.STARTED else (),
    )
    if step.number < record.attempt:
        return {"past_attempts": with_past(record.past_attempts, step)}
    if step.number > record.attempt:
        past = with_past(record.past_attempts, record.newest()) if record.attempt else None
        past = with_newest(past, step)
        return _newest(step) | _decided(step, outcome) | {"past_attempts": past}
    newest = joined(record.newest(), step)
    changes = _newest(newest)
    if newest.has_more_than_its_record or record.past_attempts:
        changes["past_attempts"] = with_newest(record.past_attempts, newest)
    return changes | _decided(step, outcome) if _is_later(record, step, outcome) else changes


def _handed_back(data: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Read which start before this one its worker handed back as it stopped."""
    told = values.mapping(data.get("handed_back"))
    started_at, ended_at = values.instant(told.get("started_at")), values.instant(told.get("at"))
    return () if started_at is None or ended_at is None else ((started_at, ended_at),)


def _newest(attempt: Attempt) -> Changes:
    return {
        "attempt": attempt.number,
        "started_at": attempt.started_at,
        "worker": attempt.worker,
    }


def _decided(step: Attempt, outcome: Mapping[str, str | None]) -> Changes:
    """Give all that follows from the state, so that nothing of the former state is left."""
    kind, message = step.error_type, step.error_message
    failed = step.state in (FAILURE, DEAD) and kind is not None
    return {
        "state": step.state,
        "state_at": step.state_at,
        "finished_at": step.state_at if step.state in FINISHED else None,
        "result": outcome.get("result"),
        "error_type": kind,
        "error_message": message,
        "error_traceback": outcome.get("error_traceback"),
        "fingerprint": fingerprint(kind or "", message, outcome.get("error_traceback"))
        if failed
        else None,
    }


def _is_later(record: Record, step: Attempt, outcome: Mapping[str, str | None]) -> bool:
    """Compare within one attempt; among equals the content decides, so that order does not."""
    mine, other = place(record.newest()), place(step)
    if mine != other:
        return mine < other
    names = ("result", "error_type", "error_message", "error_traceback")
    return [getattr(record, name) or "" for name in names] < [outcome.get(n) or "" for n in names]


def _outcome(kind: EventKind, data: Mapping[str, Any]) -> dict[str, str | None]:
    """Read how an attempt ended."""
    if kind is EventKind.SUCCEEDED:
        return {"result": values.json_text(data.get("result"))}
    if kind is EventKind.REVOKED:
        reason = values.text(data.get("reason")) or "revoked"
        return {"error_type": "TaskRevokedError", "error_message": reason}
    if kind not in (EventKind.FAILED, EventKind.DEAD, EventKind.RETRY):
        return {}
    given = data.get("error")
    error = values.mapping(given) or {"message": given}
    return {
        "error_type": values.name(error.get("type")) or "Error",
        "error_message": values.text(error.get("message")) or "",
        "error_traceback": values.text(error.get("traceback")),
    }


def _progress(record: Record, at: int, data: Mapping[str, Any]) -> Changes:
    attempt = values.number(data.get("attempt")) or 0
    shown = [values.amount(data.get("current")), values.amount(data.get("total"))]
    progress = values.json_text([*shown, values.text(data.get("message"))]) or ""
    known = (record.progress_attempt, record.progress_at or 0, record.progress or "")
    if known >= (attempt, at, progress):
        return {}
    return {"progress": progress, "progress_at": at, "progress_attempt": attempt}
