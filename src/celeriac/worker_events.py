"""What a worker, or who writes like one, knows of a change of a run: as an event."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from celery import Celery, states
from celery.app.task import Context

from celeriac.catalog.arguments import Call, named
from celeriac.catalog.secret import secrets_of
from celeriac.catalog.signature import kinds_of, model_of
from celeriac.delivery import queue_of
from celeriac.events import Event, EventKind, error_of
from celeriac.marks import Keeping
from celeriac.replays import attempt_of

DEAD = "DEAD"
"""The one state that Celery has no word for: the run's message went to the dead letters."""
KINDS = {
    states.STARTED: EventKind.STARTED,
    states.RETRY: EventKind.RETRY,
    states.SUCCESS: EventKind.SUCCEEDED,
    states.FAILURE: EventKind.FAILED,
    states.REVOKED: EventKind.REVOKED,
    DEAD: EventKind.DEAD,
}
ENDED_AT = "celeriac_ended_at"
"""The attribute of a request that has when its attempt ended by sending the next one."""
ABOUT = "celeriac_about"
"""The same that has what is known of its run."""


def event_of(
    app: Celery,
    keeping: Keeping,
    task_id: str,
    state: str,
    meta: Mapping[str, Any],
    request: Any,
) -> Event:
    """Make the event of a run's new state; `meta` is Celery's result, `request` may be unknown."""
    kind = KINDS.get(state, EventKind.PROGRESS)
    # A task may report its progress a thousand times: its arguments need not come with each.
    about = _place(request) if kind is EventKind.PROGRESS else _of_request(app, keeping, request)
    data = about | _of_outcome(kind, meta, keeping)
    known = {name: value for name, value in data.items() if value is not None}
    return Event(task_id, kind, _instant(kind, request), known)


def _instant(kind: EventKind, request: Any) -> datetime:
    """Give when it happened: an attempt ends before the next one begins, told or not."""
    ended_at: datetime | None = getattr(request, ENDED_AT, None)
    return ended_at if kind is EventKind.RETRY and ended_at else datetime.now(UTC)


def is_ignored(request: Any) -> bool:
    """Tell whether a run was submitted, or its task declared, without interest in its result."""
    return bool(request and getattr(request, "ignore_result", False))


def of_message(
    app: Celery,
    keeping: Keeping,
    headers: Mapping[str, Any],
    args: Any,
    kwargs: Any,
    queue: str | None,
) -> dict[str, Any]:
    """Give what a message tells of its run before any worker has it."""
    request = Context(dict(headers), args=args, kwargs=kwargs, delivery_info={"routing_key": queue})
    told = _of_request(app, keeping, request) | {"worker": None, "attempt": None}
    return {name: value for name, value in told.items() if value is not None}


def _place(request: Any) -> dict[str, Any]:
    if request is None:
        return {}
    return {
        "worker": getattr(request, "hostname", None),
        "attempt": attempt_of(request),
    }


def _of_headers(request: Any) -> dict[str, Any]:
    """Give what the submission put into the message's headers; any client may have done so."""
    tags = getattr(request, "celeriac_tags", None)
    earlier = getattr(request, "celeriac_resubmit_of", None)
    return {
        "tags": [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else None,
        "resubmit_of": earlier if isinstance(earlier, str) else None,
    }


def _of_outcome(kind: EventKind, meta: Mapping[str, Any], keeping: Keeping) -> dict[str, Any]:
    """Give what only this kind of event has."""
    result = meta["result"]
    match kind:
        case EventKind.SUCCEEDED:
            return {"result": keeping.value(result)}
        case EventKind.FAILED | EventKind.RETRY | EventKind.DEAD:
            return {"error": keeping.error(error_of(meta))}
        case EventKind.REVOKED:
            error = keeping.error(error_of(meta)) or {}
            return {"reason": error.get("message"), "error": error or None}
        case EventKind.PROGRESS if isinstance(result, dict):
            return _progress(result)
    return {}


def _progress(reported: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: reported.get(name) for name in ("current", "total")}
    found = {n: v for n, v in numbers.items() if isinstance(v, (int, float)) and math.isfinite(v)}
    message = reported.get("message")
    return found | ({} if message is None else {"message": str(message)})


def _of_request(app: Celery, keeping: Keeping, request: Any) -> dict[str, Any]:
    """Give what the worker knows of the run, so that any one event tells all of it.

    It is found out once for an attempt: its task may change what it was given, as it executes.
    """
    if request is None:
        return {}
    about: dict[str, Any] | None = getattr(request, ABOUT, None)
    if about is None:
        about = _found_out(app, keeping, request)
        setattr(request, ABOUT, about)
    return about


def _found_out(app: Celery, keeping: Keeping, request: Any) -> dict[str, Any]:
    task = getattr(request, "task", None)
    return _place(request) | {
        "task": task,
        "args": kept_args(app, keeping, task, request),
        "queue": queue_of(app, getattr(request, "delivery_info", None)),
        "parent_id": _parent(request),
        "root_id": getattr(request, "root_id", None),
        **_of_headers(request),
    }


def _parent(request: Any) -> str | None:
    """Give the run that started this one; Celery names a run that is tried again as its own."""
    parent: str | None = getattr(request, "parent_id", None)
    return None if parent == getattr(request, "id", None) else parent


def kept_args(app: Celery, keeping: Keeping, name: str | None, request: Any) -> dict[str, Any]:
    """Give a run's arguments by name, with marks for what is secret or too large."""
    args = getattr(request, "args", None) or ()
    kwargs = getattr(request, "kwargs", None) or {}
    known = app.tasks.get(name) if name else None
    kinds, secrets = _parameters(known) if known else ({}, frozenset())
    return keeping.arguments(named(kinds, Call(args, kwargs)), secrets)


@cache
def _parameters(task: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Give how a task's arguments are passed, and which of them are secret."""
    secrets = secrets_of(model_of(task.name, task.run, {}))
    return kinds_of(task.run), secrets
