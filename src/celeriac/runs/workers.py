"""The workers as they tell of themselves, and what can be asked of one."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery

from celeriac.errors import (
    BrokerUnavailableError,
    ResultsUnavailableError,
    UnknownWorkerError,
    WorkerRefusedError,
)
from celeriac.fleet import KEEP_S, LOST_AFTER_S, WORKER_PREFIX, WORKERS
from celeriac.fleet.record import Worker, WorkerState, read_worker
from celeriac.redis_client import connect, redis_errors
from celeriac.runs.sending import PASSING

ANSWERS_WITHIN_S = 2.0
AWAY = "Redis, where workers tell of themselves, did not answer. Try again shortly."


class Workers:
    """Every worker that has given a sign of life within a day."""

    def __init__(self, app: Celery, redis_url: str) -> None:
        self._app = app
        self._redis = connect(redis_url)

    def all(self) -> list[Worker]:
        """Give the workers by name; those that have gone silent are `lost`.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors(AWAY):
            names = self._redis.zrange(WORKERS, 0, -1)
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    key = WORKER_PREFIX.encode() + name
                    pipe.hgetall(key)
                    pipe.pttl(key)
                answers = pipe.execute()
        found = map(_seen, answers[::2], answers[1::2])
        return sorted(filter(None, found), key=lambda worker: worker.name)

    def all_or_none(self) -> list[Worker] | None:
        """Give the workers, or None while Redis is away."""
        try:
            return self.all()
        except ResultsUnavailableError:
            return None

    def get(self, name: str) -> Worker:
        """Find a worker by its exact name.

        Raises:
            UnknownWorkerError, ResultsUnavailableError
        """
        workers = {worker.name: worker for worker in self.all()}
        try:
            return workers[name]
        except KeyError:
            near = difflib.get_close_matches(name, workers, n=3)
            raise UnknownWorkerError(name, near) from None

    def ping(self) -> list[str]:
        """Give the names of the workers that answer the broker within a second.

        Raises:
            BrokerUnavailableError: nobody could be asked.
        """
        with _asked():
            answers = self._app.control.ping(timeout=1) or []
        return sorted(name for answer in answers for name in answer)

    def answers(self, name: str) -> bool:
        """Tell whether a worker answers the broker in time.

        Raises:
            BrokerUnavailableError: it could not be asked.
        """
        with _asked():
            return bool(
                self._app.control.ping(destination=[name], timeout=ANSWERS_WITHIN_S, limit=1)
            )

    def grow(self, name: str, by: int = 1) -> None:
        """Let a worker execute more runs at once.

        Raises:
            UnknownWorkerError, WorkerRefusedError, ResultsUnavailableError, BrokerUnavailableError
        """
        self._resizable(name)
        self._command("pool_grow", name, n=by)

    def shrink(self, name: str, by: int = 1) -> None:
        """Let a worker execute fewer runs at once, but never none; what it executes goes on.

        Raises:
            UnknownWorkerError, WorkerRefusedError, ResultsUnavailableError, BrokerUnavailableError
        """
        self._resizable(name)
        # Only the worker knows its size: what it told last is seconds old.
        self._command("pool_shrink", name, n=by)

    def shutdown(self, name: str) -> None:
        """Tell a worker to finish what it executes and end; returns before it has.

        Raises:
            UnknownWorkerError, WorkerRefusedError, ResultsUnavailableError, BrokerUnavailableError
        """
        self._alive(name)
        with _asked():
            self._app.control.shutdown(destination=[name])

    def _alive(self, name: str) -> Worker:
        worker = self.get(name)
        if not worker.state.is_alive:
            raise WorkerRefusedError(f"{name} is {worker.state}: there is nobody to be told.")
        return worker

    def _resizable(self, name: str) -> Worker:
        worker = self._alive(name)
        if not worker.can_resize:
            raise WorkerRefusedError(
                f"The pool of {name} ({worker.pool}) does not change its size when told to. "
                "A prefork pool without --autoscale does."
            )
        return worker

    def _command(self, command: str, name: str, **arguments: Any) -> None:
        """Give a worker a command and wait for its word that it obeys."""
        with _asked():
            answers = self._app.control.broadcast(
                command,
                arguments=arguments,
                destination=[name],
                reply=True,
                limit=1,
                timeout=ANSWERS_WITHIN_S,
            )
        answer = next(iter(answers or []), {}).get(name)
        if answer is None:
            raise BrokerUnavailableError(
                f"{name} did not answer within {ANSWERS_WITHIN_S:g} s. It may obey all the same."
            )
        if "error" in answer:
            raise WorkerRefusedError(f"{name} refused: {answer['error']}")


def _seen(fields: dict[bytes, bytes], left_ms: int) -> Worker | None:
    """Read a worker's hash; the time that is left to it tells how old the last heartbeat is."""
    worker = read_worker(fields)
    if worker is None:
        return None
    age_s = max(0.0, KEEP_S - left_ms / 1000) if left_ms >= 0 else 0.0
    seen = {"heartbeat_at": datetime.now(UTC) - timedelta(seconds=age_s)}
    if worker.state.is_alive and age_s > LOST_AFTER_S:
        seen["state"] = WorkerState.LOST  # type: ignore[assignment]
    return worker.model_copy(update=seen)


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except PASSING as error:
        raise BrokerUnavailableError(
            "The broker did not accept the command, so no worker was told. Try again shortly."
        ) from error
