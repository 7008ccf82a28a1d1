"""The live state of runs in Redis: what the submission wrote, what workers wrote, Celery's results.

Two keys a run: the hash `celeriac-run-<id>` (written here at submission and by `celeriac.backend`
at each change) and Celery's own `celery-task-meta-<id>`. Both expire together.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from pydantic import JsonValue
from pydantic_core import to_jsonable_python
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.errors import ResultsUnavailableError, RunNotFoundError
from celeriac.events import (
    RECORD_PREFIX,
    STREAM,
    Event,
    EventKind,
    append_event,
    error_of,
    read_record,
    write_record,
)
from celeriac.runs.run import Run, RunState

TIMEOUT_S = 1.0
HEARTBEAT_S = 15.0
KEEP_WAITING_S = 30 * 86_400
"""How long a run is known that no worker takes; the time of its ETA comes out of it."""


@dataclass(frozen=True)
class CeleryResults:
    """Where Celery keeps the result of a run, and how to read it."""

    key_of: Callable[[str], str | bytes]
    decode: Callable[[bytes], dict[str, Any]]


class RunStore:
    """Reads and writes runs in Redis; each call fails within about two seconds when it is away."""

    def __init__(self, url: str, results: CeleryResults) -> None:
        self._results = results
        # The types cannot tell one kind of answer from another.
        self._redis: Any = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://"),
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

    def add(self, run: Run) -> None:
        """Write the record of a run that is about to be published; no event tells of it yet.

        Raises:
            ResultsUnavailableError: nothing was written.
        """
        with _translated(), self._redis.pipeline() as pipe:
            write_record(pipe, _submitted(run), KEEP_WAITING_S)
            pipe.execute()

    def tell_submitted(self, run: Run) -> None:
        """Add the event that a run was submitted, now that the broker has it."""
        with _translated(), self._redis.pipeline() as pipe:
            append_event(pipe, _submitted(run))
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
            pipe.get(self._results.key_of(run_id))
            record, meta = pipe.execute()
        if not record and not meta:
            raise RunNotFoundError(run_id)
        return _run(run_id, read_record(record), self._results.decode(meta) if meta else {})

    def has_events_after(self, run_id: str, event_id: str) -> bool:
        """Tell whether the stream still holds a later event of this run."""
        start = f"({event_id}"
        with _translated():
            while entries := self._redis.xrange(STREAM, start, count=1000):
                if any(fields.get(b"run") == run_id.encode() for _, fields in entries):
                    return True
                start = f"({entries[-1][0].decode()}"
        return False

    def watch(self, run_id: str, until_s: float = math.inf) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        `until_s` is an instant of `time.monotonic()` at which to stop in any case.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError: Redis did not answer.
        """
        with _translated(), self._redis.pubsub() as feed:
            feed.subscribe(RECORD_PREFIX + run_id)
            feed.get_message(timeout=TIMEOUT_S)  # Redis has the subscription now.
            run = self.get(run_id)
            yield run
            while not run.state.finished and (left_s := until_s - time.monotonic()) > 0:
                feed.get_message(timeout=min(left_s, HEARTBEAT_S))
                while feed.get_message():
                    pass  # Several changes at once are shown as one.
                before, run = run, self.get(run_id)
                yield run if run != before else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ResultsUnavailableError(
            "The result backend (Redis) did not answer. Nothing was changed; try again shortly."
        ) from error


def _submitted(run: Run) -> Event:
    data = run.model_dump(
        mode="json",
        exclude_none=True,
        include={"task", "args", "queue", "priority", "tags", "eta", "resubmit_of"},
    )
    return Event(run.id, EventKind.SUBMITTED, run.submitted_at or datetime.now(UTC), data)


def _run(run_id: str, record: Mapping[str, Any], meta: Mapping[str, Any]) -> Run:
    state = _state(record, meta)
    failed = state in (RunState.FAILURE, RunState.RETRY, RunState.REVOKED)
    known = {name: record[name] for name in _SAME_NAMES if record.get(name) is not None}
    return Run(
        id=run_id,
        state=state,
        result=_plain(meta.get("result")) if state is RunState.SUCCESS else None,
        error=error_of(meta) if failed else None,
        attempts=record.get("attempt", 0) if record.get("started_at") else 0,
        finished_at=_instant(record.get("finished_at") or meta.get("date_done")),
        parent_id=record.get("parent_id") or meta.get("parent_id"),
        **known,
    )


_SAME_NAMES = (
    "task", "args", "progress", "queue", "priority", "tags", "worker", "submitted_at", "eta",
    "started_at", "root_id", "resubmit_of",
)  # fmt: skip


def _state(record: Mapping[str, Any], meta: Mapping[str, Any]) -> RunState:
    word = meta.get("status") or record.get("state", "PENDING")
    if word == "PENDING":
        eta = _instant(record.get("eta"))
        return RunState.SCHEDULED if eta and eta > datetime.now(UTC) else RunState.PENDING
    # Celery lets tasks invent states of their own, such as PROGRESS: the run is being executed.
    return RunState(word) if word in RunState.__members__ else RunState.STARTED


def _plain(value: Any) -> JsonValue:
    """Give a result as JSON has it; kombu decodes dates, decimals and bytes to what they were."""
    return to_jsonable_python(value, fallback=str, bytes_mode="base64")  # type: ignore[no-any-return]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
