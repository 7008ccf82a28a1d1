"""The live state of runs in Redis: what the submission wrote, what workers wrote, Celery's results.

Two keys a run: the hash `celeriac-run-<id>` (written here at submission and by `celeriac.backend`
at each change) and Celery's own `celery-task-meta-<id>`. Both expire together.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis
from pydantic import JsonValue
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.backend import RECORD_PREFIX
from celeriac.catalog import Call, Catalog
from celeriac.errors import ResultsUnavailableError, RunNotFoundError, UnknownTaskError
from celeriac.runs.run import Progress, Run, RunError, RunState

META_PREFIX = "celery-task-meta-"
TIMEOUT_S = 1.0
HEARTBEAT_S = 15.0


class RunStore:
    """Reads and writes runs in Redis; each call fails within about two seconds when it is away."""

    def __init__(self, url: str, catalog: Catalog) -> None:
        self._catalog = catalog
        self._redis = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://"),
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )

    def ping(self) -> None:
        """Ask Redis for a sign of life.

        Raises:
            ResultsUnavailableError: there is none.
        """
        with _translated():
            self._redis.ping()

    def add(self, run: Run, keep_s: int) -> None:
        """Write the record of a run that is about to be published.

        Raises:
            ResultsUnavailableError: nothing was written.
        """
        fields: dict[Any, Any] = run.model_dump(
            mode="json", exclude_none=True, exclude={"id", "attempts", "tags"}
        )
        fields["args"] = json.dumps(run.args)
        with _translated(), self._redis.pipeline() as pipe:
            pipe.hset(RECORD_PREFIX + run.id, mapping=fields)
            pipe.expire(RECORD_PREFIX + run.id, keep_s)
            pipe.execute()

    def remove(self, run_id: str) -> None:
        """Take back a record whose message was never accepted."""
        with _translated():
            self._redis.delete(RECORD_PREFIX + run_id)

    def get(self, run_id: str) -> Run:
        """Read a run.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError: Redis did not answer.
        """
        with _translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(RECORD_PREFIX + run_id)
            pipe.get(META_PREFIX + run_id)
            record, meta = pipe.execute()
        if not record and not meta:
            raise RunNotFoundError(run_id)
        return self._run(run_id, record, json.loads(meta) if meta else {})

    def watch(self, run_id: str, until_s: float = math.inf) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        `until_s` is an instant of `time.monotonic()` at which to stop in any case.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError: Redis did not answer.
        """
        with _translated(), self._redis.pubsub() as feed:  # type: ignore[no-untyped-call]
            feed.subscribe(META_PREFIX + run_id)
            feed.get_message(timeout=TIMEOUT_S)  # Redis has the subscription now.
            run = self.get(run_id)
            yield run
            while not run.state.finished and (left_s := until_s - time.monotonic()) > 0:
                feed.get_message(timeout=min(left_s, HEARTBEAT_S))
                while feed.get_message():
                    pass  # Several changes at once are shown as one.
                before, run = run, self.get(run_id)
                yield run if run != before else None

    def _run(self, run_id: str, record: Mapping[str, str], meta: Mapping[str, Any]) -> Run:
        state = _state(record, meta)
        failed = state in (RunState.FAILURE, RunState.RETRY, RunState.REVOKED)
        return Run(
            id=run_id,
            task=record.get("task"),
            state=state,
            args=self._named_args(record),
            result=meta.get("result") if state is RunState.SUCCESS else None,
            error=_error(meta) if failed else None,
            progress=_progress(record.get("progress")),
            queue=record.get("queue"),
            priority=int(record["priority"]) if "priority" in record else None,
            attempts=int(record.get("attempts", 0)),
            worker=record.get("worker"),
            submitted_at=_instant(record.get("submitted_at")),
            eta=_instant(record.get("eta")),
            started_at=_instant(record.get("started_at")),
            finished_at=_instant(record.get("finished_at") or meta.get("date_done")),
            parent_id=record.get("parent_id") or meta.get("parent_id"),
            root_id=record.get("root_id"),
            resubmit_of=record.get("resubmit_of"),
        )

    def _named_args(self, record: Mapping[str, str]) -> JsonValue:
        """Name the arguments: a submission of ours has them by name, a message has two kinds."""
        args = json.loads(record.get("args", "null"))
        if not isinstance(args, list):
            return args  # type: ignore[no-any-return]
        call = Call(args, json.loads(record.get("kwargs", "{}")))
        try:
            return self._catalog.get(record.get("task", "")).named(call)
        except UnknownTaskError:
            return dict(call.kwargs) | ({"*": args} if args else {})


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ResultsUnavailableError(
            "The result backend (Redis) did not answer. Nothing was changed; try again shortly."
        ) from error


def _state(record: Mapping[str, str], meta: Mapping[str, Any]) -> RunState:
    word = meta.get("status") or record.get("state", "PENDING")
    if word == "PENDING":
        eta = _instant(record.get("eta"))
        return RunState.SCHEDULED if eta and eta > datetime.now(UTC) else RunState.PENDING
    # Celery lets tasks invent states of their own, such as PROGRESS: the run is being executed.
    return RunState(word) if word in RunState.__members__ else RunState.STARTED


def _error(meta: Mapping[str, Any]) -> RunError | None:
    error = meta.get("result")
    if not isinstance(error, dict):
        return None
    message = error.get("exc_message", "")
    if isinstance(message, list):
        message = ", ".join(str(part) for part in message)
    return RunError(
        type=str(error.get("exc_type", "Error")),
        message=str(message),
        traceback=meta.get("traceback"),
    )


def _progress(text: str | None) -> Progress | None:
    found = json.loads(text) if text else {}
    return (
        Progress(
            current=_number(found.get("current")),
            total=_number(found.get("total")),
            message=None if found.get("message") is None else str(found["message"]),
        )
        if found
        else None
    )


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
