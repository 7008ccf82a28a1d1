"""What the tests of the script that writes changes do to a run, and where they look."""

import json
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.app.task import Context

from celeriac.backend import RunBackend
from celeriac.changes import Verdict, write_change
from celeriac.events import RECORD_PREFIX, STREAM, Event
from celeriac.replays import once_more


def context(attempt: int = 1, run_id: str = "one") -> Context:
    """Give what Celery's worker knows of a run that it executes."""
    return Context(id=run_id, task="a.task", args=[1], kwargs={}, retries=attempt - 1)


def store(backend: RunBackend, state: str, attempt: int = 1, value: Any = None) -> None:
    """Store a state of the run `one` as its worker would."""
    if state in states.EXCEPTION_STATES:
        value = ValueError(value or state)
    backend.store_result("one", value, state, request=context(attempt))


def cancel(backend: RunBackend, run_id: str = "one") -> Verdict:
    """Cancel a run as the web does."""
    return write_change(backend.client, backend.cancellation(run_id))


def replay(backend: RunBackend) -> Verdict:
    """Tell that the dead letter of the run `one` was sent again."""
    headers = once_more({"id": "one", "task": "a.task", "retries": 0})
    change = backend.replay(headers, [1], {}, "celery_see", datetime.now(UTC))
    return write_change(backend.client, change)


def record(backend: RunBackend, run_id: str = "one") -> dict[str, Any]:
    """Give the live record of a run."""
    found = backend.client.hgetall(RECORD_PREFIX + run_id)
    return {name.decode(): json.loads(text) for name, text in found.items()}


def events(backend: RunBackend) -> list[Event]:
    """Give all events of the stream."""
    entries = [
        (entry_id.decode(), {name.decode(): text.decode() for name, text in fields.items()})
        for entry_id, fields in backend.client.xrange(STREAM)
    ]
    return [Event.of_entry(*entry) for entry in entries]


def state_of(backend: RunBackend) -> str:
    """Give the state, on which Celery's result, the record and the last event must agree."""
    told: str = backend.get_task_meta("one", cache=False)["status"]
    assert record(backend)["state"] == told
    kinds = {"REVOKED": "revoked", "SUCCESS": "succeeded", "FAILURE": "failed"}
    assert events(backend)[-1].kind == kinds.get(told, told.lower())
    return told
