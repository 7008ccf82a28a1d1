"""The live state of runs in Redis: what the submission wrote, what workers wrote, Celery's results.

Two keys a run: the hash `celeriac-run-<id>` (written here at submission and by `celeriac.backend`
at each change) and Celery's own `celery-task-meta-<id>`. Both expire together.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from celeriac.backend import REVOKED_REASON
from celeriac.changes import Change, Verdict, write_change, write_changes
from celeriac.errors import RunNotFoundError
from celeriac.events import (
    KEEP_WAITING_S,
    RECORD_PREFIX,
    Event,
    EventKind,
    append_event,
    appending,
    read_record,
)
from celeriac.exchange import SharedExchange, exchange, packed
from celeriac.redis_client import TIMEOUT_S, connect, redis_errors
from celeriac.runs import idempotency
from celeriac.runs.idempotency import Claim
from celeriac.runs.reading import read_run
from celeriac.runs.run import Run, RunState

HEARTBEAT_S = 15.0
_TOLD = ("task", "args", "queue", "priority", "tags", "resubmit_of")
# The broker may have the message though it never confirmed it, and a worker may execute it by now.
_TAKE_BACK = """
if redis.call('HGET', KEYS[1], 'state') == '"PENDING"' then redis.call('DEL', KEYS[1]) end
"""


@dataclass(frozen=True)
class CeleryResults:
    """Where Celery keeps the result of a run, and how to read it and to write that of a cancel."""

    key_of: Callable[[str], str | bytes]
    decode: Callable[[bytes], dict[str, Any]]
    cancellation: Callable[[str, str], Change]


class Cancelled(Enum):
    """What a cancel found."""

    WAITING = auto()
    """The run is revoked."""
    EXECUTING = auto()
    """Its worker must be told to end it; it will not start again."""
    FINISHED = auto()
    """It had ended before."""


_CANCELLED = {
    Verdict.WRITTEN: Cancelled.WAITING,
    Verdict.STARTED: Cancelled.EXECUTING,
    Verdict.FINISHED: Cancelled.FINISHED,
}


class RunStore:
    """Reads and writes runs in Redis; each call fails within about two seconds when it is away."""

    def __init__(self, url: str, results: CeleryResults) -> None:
        self._results = results
        self._redis = connect(url)
        # What concurrent requests have to say goes together.
        self._shared = SharedExchange()

    def ping(self) -> None:
        """Ask Redis for a sign of life.

        Raises:
            ResultsUnavailableError: there is none.
        """
        with redis_errors():
            self._redis.ping()

    def add(self, run: Run) -> None:
        """Write the record of a run that is about to be published; no event tells of it yet.

        One that is published a second time, and has begun meanwhile, stays as it is.

        Raises:
            ResultsUnavailableError: nothing was written.
        """
        with redis_errors():
            write_change(self._redis, self._addition(run), self._shared.send)

    def add_all(self, runs: Sequence[Run]) -> None:
        """Do the same for several runs.

        Raises:
            ResultsUnavailableError: perhaps some were written; nobody was told of them.
        """
        with redis_errors():
            write_changes(self._redis, [self._addition(run) for run in runs])

    def _addition(self, run: Run) -> Change:
        return Change(
            _submitted(run),
            RunState.PENDING,
            self._results.key_of(run.id),
            result=None,
            keep_s=KEEP_WAITING_S,
            attempt=None,
            is_told=False,
        )

    def tell_all(self, accepted: Sequence[Run], refused: Sequence[Run]) -> None:
        """Tell of the runs that the broker has, and take back the records of the others.

        Raises:
            ResultsUnavailableError: perhaps nobody was told.
        """
        commands: list[Sequence[str | int]] = [
            *[appending(_submitted(run)) for run in accepted],
            *[("EVAL", _TAKE_BACK, 1, RECORD_PREFIX + run.id) for run in refused],
        ]
        with redis_errors():
            _raise_any(exchange(self._redis, [packed(command) for command in commands]))

    def tell_submitted(self, run: Run, claim: Claim | None = None) -> None:
        """Add the event that a run was submitted, now that the broker has it.

        Raises:
            ResultsUnavailableError: nobody was told.
        """
        if claim is None:
            with redis_errors():
                _raise_any([self._shared.send(self._redis, appending(_submitted(run)))])
            return
        with redis_errors(), self._redis.pipeline() as pipe:
            append_event(pipe, _submitted(run))
            idempotency.settle(pipe, claim, run)
            pipe.execute()

    def remove(self, run_id: str) -> None:
        """Take back a record whose message was not accepted, as far as anybody knows.

        Raises:
            ResultsUnavailableError: it stays until it expires.
        """
        with redis_errors():
            self._redis.eval(_TAKE_BACK, 1, RECORD_PREFIX + run_id)

    def cancel(
        self,
        run_ids: Sequence[str],
        reason: str = REVOKED_REASON,
        about: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Cancelled]:
        """Forbid the start of runs, and end at once those that wait, all in one round trip.

        `about` has what is known of runs, as events tell it: perhaps nobody has told it before.

        Raises:
            ResultsUnavailableError: Redis did not answer; some may have been cancelled.
        """
        known = about or {}
        changes = [
            _telling(self._results.cancellation(run_id, reason), known.get(run_id, {}))
            for run_id in run_ids
        ]
        with redis_errors():
            verdicts = write_changes(self._redis, changes)
        return dict(zip(run_ids, (_CANCELLED[verdict] for verdict in verdicts), strict=True))

    def tell_replayed(self, change: Change) -> None:
        """Tell that a run waits again, unless a worker has told already that it executes it.

        Raises:
            ResultsUnavailableError: nobody was told; its worker will tell.
        """
        with redis_errors():
            write_change(self._redis, change)

    def knows(self, run_id: str) -> bool:
        """Tell whether there is any trace of a run.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors():
            keys = RECORD_PREFIX + run_id, self._results.key_of(run_id)
            return bool(self._redis.exists(*keys))

    def get(self, run_id: str) -> Run:
        """Read a run.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(RECORD_PREFIX + run_id)
            pipe.get(self._results.key_of(run_id))
            record, meta = pipe.execute()
        if not record and not meta:
            raise RunNotFoundError(run_id)
        return read_run(run_id, read_record(record), self._results.decode(meta) if meta else {})

    def watch(self, run_id: str, until_s: float = math.inf) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        `until_s` is an instant of `time.monotonic()` at which to stop in any case.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors(), self._redis.pubsub() as feed:
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


def _telling(change: Change, about: Mapping[str, Any]) -> Change:
    event = change.event
    return replace(change, event=replace(event, data={**about, **event.data}))


def _raise_any(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _submitted(run: Run) -> Event:
    told = {name: getattr(run, name) for name in _TOLD}
    data = {name: value for name, value in told.items() if value is not None}
    if run.eta:
        data["eta"] = run.model_dump(mode="json", include={"eta"})["eta"]
    return Event(run.id, EventKind.SUBMITTED, run.submitted_at or datetime.now(UTC), data)
