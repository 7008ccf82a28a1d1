"""A result backend that keeps a record of each run beside Celery's own result.

Celery's key `celery-task-meta-<id>`, its channel and its content stay exactly as `RedisBackend`
writes them, so every Celery client reads the results. In the same pipeline the worker writes what
Celery does not keep, when and where the run executed, into the hash `celeriac-run-<id>` (see
`celeriac.runs.store`).
"""

import json
from datetime import UTC, datetime
from typing import Any

import redis.exceptions
from celery import states
from celery.backends.redis import RedisBackend
from celery.exceptions import ImproperlyConfigured

RECORD_PREFIX = "celeriac-run-"
SUBMITTED_FIELDS = frozenset({"args", "kwargs", "queue"})

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
        record = _record(request, state, result)
        encoded = self.encode(meta | {"task_id": task_id})
        self.ensure(self._write, (task_id, state, encoded, record))
        return result

    def _write(self, task_id: str, state: str, meta: str | bytes, record: dict[str, str]) -> None:
        key = self.get_key_for_task(task_id)
        record_key = RECORD_PREFIX + task_id
        expires_s = self.failure_expires if state == states.FAILURE else self.expires
        with self.client.pipeline() as pipe:
            pipe.set(key, meta, ex=expires_s or None)
            for name, value in record.items():
                # What the submission wrote stays: it is what a person typed.
                write = pipe.hsetnx if name in SUBMITTED_FIELDS else pipe.hset
                write(record_key, name, value)
            if expires_s:
                pipe.expire(record_key, expires_s)
            pipe.publish(key, meta)
            pipe.execute()


def _record(request: Any, state: str, result: Any) -> dict[str, str]:
    """Give the fields of the run's record that this change of state sets."""
    now = datetime.now(UTC).isoformat()
    fields: dict[str, Any] = {"state": state, "changed_at": now}
    if state == states.STARTED:
        fields |= {"started_at": now, "progress": ""}
    if state in states.READY_STATES:
        fields["finished_at"] = now
    if state not in states.ALL_STATES and isinstance(result, dict):
        fields["progress"] = json.dumps(result, default=str)
    return {name: str(value) for name, value in (fields | _of_request(request)).items()}


def _of_request(request: Any) -> dict[str, Any]:
    if request is None:
        return {}
    found = {
        "task": getattr(request, "task", None),
        "worker": getattr(request, "hostname", None),
        "attempts": (getattr(request, "retries", None) or 0) + 1,
        "parent_id": getattr(request, "parent_id", None),
        "root_id": getattr(request, "root_id", None),
        "queue": (getattr(request, "delivery_info", None) or {}).get("routing_key"),
        "args": _dumped(getattr(request, "args", None)),
        "kwargs": _dumped(getattr(request, "kwargs", None)),
    }
    return {name: value for name, value in found.items() if value is not None}


def _dumped(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str)
