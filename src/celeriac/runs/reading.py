"""From what Redis holds of a run, our record and Celery's result, to the run as people see it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from celeriac.events import error_of
from celeriac.marks import cut
from celeriac.runs.run import Run, RunState

_SAME_NAMES = (
    "task", "args", "progress", "queue", "priority", "tags", "worker", "submitted_at", "eta",
    "started_at", "root_id", "resubmit_of",
)  # fmt: skip
_FINISHED = ("SUCCESS", "FAILURE", "REVOKED", "DEAD")


def read_run(run_id: str, record: Mapping[str, Any], meta: Mapping[str, Any]) -> Run:
    """Give the run that a record and Celery's result tell of; either may be empty."""
    state = _state(record, meta)
    failed = state in (RunState.FAILURE, RunState.RETRY, RunState.REVOKED, RunState.DEAD)
    known = {name: record[name] for name in _SAME_NAMES if record.get(name) is not None}
    return Run(
        id=run_id,
        state=state,
        result=_plain(meta.get("result")) if state is RunState.SUCCESS else None,
        error=_error(state, record, meta) if failed else None,
        attempts=_attempts(record),
        finished_at=_instant(record.get("finished_at") or meta.get("date_done")),
        parent_id=_parent(run_id, record, meta),
        **known,
    )


def _attempts(record: Mapping[str, Any]) -> int:
    """Count the executions: an attempt that waits for a worker after a replay is none yet."""
    number: int = record.get("attempt", 0) if record.get("started_at") else 0
    return number - 1 if number and record.get("starts") == 0 else number


def _parent(run_id: str, record: Mapping[str, Any], meta: Mapping[str, Any]) -> str | None:
    """Give the run that started this one; Celery names a run that is tried again as its own."""
    found: str | None = record.get("parent_id") or meta.get("parent_id")
    return None if found == run_id else found


def _error(
    state: RunState, record: Mapping[str, Any], meta: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Give the error as Celery's result has it, or as the record has it where there is none."""
    found: Mapping[str, Any] | None = record.get("error")
    return error_of(meta) if meta.get("status") == state else found


def _state(record: Mapping[str, Any], meta: Mapping[str, Any]) -> RunState:
    word = meta.get("status") or "PENDING"
    recorded = record.get("state", "PENDING")
    # Where results are ignored the record tells; an error may be stored all the same, and old.
    if word == "PENDING" or (recorded != "PENDING" and word not in _FINISHED):
        word = recorded
    # Celery has no word for it: to its clients a dead letter is a failure.
    if recorded == "DEAD" and word == "FAILURE":
        word = recorded
    if word == "PENDING":
        eta = _instant(record.get("eta"))
        return RunState.SCHEDULED if eta and eta > datetime.now(UTC) else RunState.PENDING
    # Celery lets tasks invent states of their own, such as PROGRESS: the run is being executed.
    return RunState(word) if word in RunState.__members__ else RunState.STARTED


def _plain(value: Any) -> JsonValue:
    """Give a result as JSON has it; kombu decodes dates, decimals and bytes to what they were."""
    try:
        return to_jsonable_python(value, fallback=str, bytes_mode="base64")  # type: ignore[no-any-return]
    except ValueError:  # It is nested too deeply, or a name in it is half a surrogate pair.
        return cut(value)


def _instant(text: str | None) -> datetime | None:
    """Read an instant; older versions of Celery write UTC without saying so."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
