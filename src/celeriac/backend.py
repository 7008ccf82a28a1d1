"""A result backend that tells of each change of a run beside storing Celery's own result.

Celery's key `celery-task-meta-<id>`, its channel and its content stay exactly as `RedisBackend`
writes them, so every Celery client reads the results. In the same pipeline the worker writes what
happened as an event: into the stream, and into the run's live record (see `celeriac.events`).
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import redis.exceptions
from celery import states
from celery.backends.redis import RedisBackend
from celery.exceptions import ImproperlyConfigured

from celeriac.catalog.arguments import Call, named
from celeriac.catalog.signature import kinds_of
from celeriac.events import (
    RECORD_PREFIX,
    Event,
    EventKind,
    append_event,
    error_of,
    write_record,
)

KINDS = {
    states.STARTED: EventKind.STARTED,
    states.RETRY: EventKind.RETRY,
    states.SUCCESS: EventKind.SUCCEEDED,
    states.FAILURE: EventKind.FAILED,
    states.REVOKED: EventKind.REVOKED,
}

# What Redis says when it cannot write for now; stock Celery would acknowledge the message then,
# and the run would be lost.
_PASSING = (
    "OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS",
    "BUSY ",
)  # fmt: skip


class RunBackend(RedisBackend):  # type: ignore[misc]
    """Celery's Redis backend with run records; the URL scheme is `celeriac+redis://`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.connection_errors:
            raise ImproperlyConfigured("Celery lacks its Redis support: install celery[redis]")

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Treat 'cannot write for now' as passing too."""
        return bool(super().exception_safe_to_retry(exc)) or (
            isinstance(exc, redis.exceptions.ResponseError) and str(exc).startswith(_PASSING)
        )

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe later, in `get()`, so that publishing never waits for Redis."""

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        if self._get_task_meta_for(task_id)["status"] == states.SUCCESS:
            return result
        meta = self._get_result_meta(result, state, traceback, request)
        encoded = self.encode(meta | {"task_id": task_id})
        expires_s = self.failure_expires if state == states.FAILURE else self.expires
        event = self._event(task_id, state, meta, request)
        self.ensure(self._write, (self.get_key_for_task(task_id), encoded, event, expires_s))
        return result

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        """Store the result, or tell at least of the end where nobody wants the result."""
        super().mark_as_done(task_id, result, request, *args, **kwargs)
        if is_ignored(request):
            self.tell(task_id, states.SUCCESS, request)

    def tell(self, task_id: str, state: str, request: Any) -> None:
        """Tell of a change of a run whose result is ignored, and store no result."""
        event = self._event(task_id, state, {"result": None}, request)
        self.ensure(self._write_event, (event,))

    def _write_event(self, event: Event) -> None:
        with self.client.pipeline() as pipe:
            append_event(pipe, event)
            write_record(pipe, event, self.expires)
            pipe.execute()

    def _forget(self, task_id: str) -> None:
        super()._forget(task_id)
        self.client.delete(RECORD_PREFIX + task_id)

    def _write(
        self, key: str | bytes, meta: str | bytes, event: Event, expires_s: int | None
    ) -> None:
        with self.client.pipeline() as pipe:
            pipe.set(key, meta, ex=expires_s or None)
            append_event(pipe, event)
            write_record(pipe, event, expires_s)
            pipe.publish(key, meta)
            pipe.execute()

    def _event(self, task_id: str, state: str, meta: Mapping[str, Any], request: Any) -> Event:
        kind = KINDS.get(state, EventKind.PROGRESS)
        # A task may report its progress a thousand times: its arguments need not come with each.
        about = _place(request) if kind is EventKind.PROGRESS else self._of_request(request)
        data = about | _of_outcome(kind, meta)
        known = {name: value for name, value in data.items() if value is not None}
        return Event(task_id, kind, datetime.now(UTC), known)

    def _of_request(self, request: Any) -> dict[str, Any]:
        """Give what the worker knows of the run, so that any one event tells all of it."""
        if request is None:
            return {}
        task = getattr(request, "task", None)
        delivery = getattr(request, "delivery_info", None) or {}
        return _place(request) | {
            "task": task,
            "args": self._named_args(task, request),
            "queue": delivery.get("routing_key"),
            "parent_id": getattr(request, "parent_id", None),
            "root_id": getattr(request, "root_id", None),
        }

    def _named_args(self, task: str | None, request: Any) -> dict[str, Any]:
        args = getattr(request, "args", None) or ()
        kwargs = getattr(request, "kwargs", None) or {}
        known = self.app.tasks.get(task)
        return named(kinds_of(known.run) if known else {}, Call(args, kwargs))


def is_ignored(request: Any) -> bool:
    """Tell whether a run was submitted, or its task declared, without interest in its result."""
    return bool(request and getattr(request, "ignore_result", False))


def _place(request: Any) -> dict[str, Any]:
    return {
        "worker": getattr(request, "hostname", None),
        "attempt": (getattr(request, "retries", None) or 0) + 1,
    }


def _of_outcome(kind: EventKind, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Give what only this kind of event has."""
    result = meta["result"]
    match kind:
        case EventKind.SUCCEEDED:
            return {"result": result}
        case EventKind.FAILED | EventKind.RETRY | EventKind.REVOKED:
            return {"error": error_of(meta)}
        case EventKind.PROGRESS if isinstance(result, dict):
            return _progress(result)
    return {}


def _progress(reported: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: reported.get(name) for name in ("current", "total")}
    found = {n: v for n, v in numbers.items() if isinstance(v, (int, float)) and math.isfinite(v)}
    message = reported.get("message")
    return found | ({} if message is None else {"message": str(message)})
