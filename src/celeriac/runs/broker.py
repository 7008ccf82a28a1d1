"""The broker as a submitter sees it: publish a run's message, ask the workers to drop it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import redis
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import KombuError

from celeriac.catalog import Call, TaskSpec
from celeriac.celeryconfig import CONNECT_TIMEOUT_S, PRIORITIES
from celeriac.errors import (
    BrokerUnavailableError,
    FieldProblem,
    InvalidInputError,
    UnconfirmedError,
)
from celeriac.runs.options import SubmitOptions

STALE_WITHIN_S = 0.5
"""A pooled connection that fails this early was stale; a new one is worth a second attempt."""
PASSING = (KombuError, AMQPError, redis.RedisError, OSError)


class Broker:
    """Publishes with Celery's own producer, each call bounded in time."""

    def __init__(self, app: Celery, extra_queues: tuple[str, ...] = ()) -> None:
        self._app = app
        self._counts_down = not app.conf.broker_url.startswith("amqp")
        self._extra_queues = extra_queues

    def publish(
        self,
        run_id: str,
        spec: TaskSpec,
        call: Call,
        options: SubmitOptions,
        *,
        eta: datetime | None,
        expires: datetime | None,
    ) -> None:
        """Publish a run's message and wait until the broker has it.

        Raises:
            BrokerUnavailableError: it is away, and nothing was sent.
            UnconfirmedError: it did not confirm. The message may have gone out all the same; then
                it runs under this identifier and no other.
        """
        message = {
            "args": list(call.args),
            "kwargs": dict(call.kwargs),
            "task_id": run_id,
            "eta": eta,
            "expires": expires,
            **self._routing(options),
        }
        try:
            self._publish(spec.name, message)
        except PASSING as error:
            raise UnconfirmedError(run_id) from error

    def _publish(self, task_name: str, message: Mapping[str, Any]) -> None:
        started_s = time.monotonic()
        try:
            self._publish_once(task_name, message)
        except PASSING:
            if time.monotonic() - started_s > STALE_WITHIN_S:
                raise
            self._publish_once(task_name, message)

    def _publish_once(self, task_name: str, message: Mapping[str, Any]) -> None:
        with self._app.producer_pool.acquire(block=True, timeout=CONNECT_TIMEOUT_S) as producer:
            with _translated():
                _ = producer.channel  # Connects; nothing has been sent until here.
            try:
                self._app.tasks[task_name].apply_async(**message, producer=producer, retry=False)
            except PASSING:
                # A confirm that comes late would be taken for the next message's, so cut the line.
                if producer.connection:
                    producer.connection.collect()
                raise

    def check_queue(self, name: str | None, known: set[str]) -> None:
        """Refuse a queue that no worker of ours would listen to.

        Raises:
            InvalidInputError: the queue is not known.
        """
        known = known | set(self._app.amqp.queues) | set(self._extra_queues)
        if name is not None and name not in known:
            detail = f"No worker listens to {name!r}. Known: {', '.join(sorted(known))}."
            raise InvalidInputError([FieldProblem("/options/queue", detail)])

    def revoke(self, run_id: str) -> None:
        """Tell the workers to drop a run that waits and to end one that executes.

        Raises:
            BrokerUnavailableError: the request was not accepted.
        """
        with _translated():
            self._app.control.revoke(run_id, terminate=True)

    def ping(self) -> None:
        """Connect to the broker anew.

        Raises:
            BrokerUnavailableError: it does not answer.
        """
        with (
            _translated(),
            self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S) as connection,
        ):
            connection.connect()
            _ = connection.default_channel

    def workers(self) -> list[str]:
        """Give the names of the workers that answer within a second.

        Raises:
            BrokerUnavailableError: nobody could be asked.
        """
        with _translated():
            answers = self._app.control.ping(timeout=1) or []
        return sorted(name for answer in answers for name in answer)

    def _routing(self, options: SubmitOptions) -> dict[str, Any]:
        routing: dict[str, Any] = {}
        if options.queue is not None:
            routing["queue"] = options.queue
        if options.priority is not None:
            last = PRIORITIES - 1
            routing["priority"] = last - options.priority if self._counts_down else options.priority
        return routing


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PASSING as error:
        raise BrokerUnavailableError(
            "The broker did not accept the message, so nothing was submitted. Try again shortly."
        ) from error
