"""The broker as a submitter sees it: publish a run's message, ask the workers to drop it."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis
from amqp.exceptions import AMQPError, MessageNacked, PreconditionFailed
from celery import Celery
from kombu.exceptions import KombuError, LimitExceeded

from celeriac.celeryconfig import CONNECT_TIMEOUT_S, PRIORITIES
from celeriac.deadline import within
from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FieldProblem,
    InvalidInputError,
    QueueDiffersError,
    RefusedError,
    UnconfirmedError,
)
from celeriac.queues import is_ours, lanes_of, names_of
from celeriac.runs.draft import Draft
from celeriac.runs.flight import Flight
from celeriac.runs.options import SubmitOptions

log = logging.getLogger(__name__)

STALE_WITHIN_S = 0.5
"""A pooled connection that fails this early was stale; a new one is worth a second attempt."""
TURN_WITHIN_S = 20.0
"""How long one waits for a connection that others use; that says nothing of the broker."""
PUBLISHES_WITHIN_S = 10.0
"""How long RabbitMQ may take in all for a submission, which over a new connection needs many
answers; each has a shorter time of its own."""
PASSING = (KombuError, AMQPError, MessageNacked, redis.RedisError, OSError)
NO_ROUTE = 312


class Broker:
    """Publishes with Celery's own producer, each call bounded in time."""

    def __init__(self, app: Celery, extra_queues: tuple[str, ...] = ()) -> None:
        self._app = app
        self._counts_down = not app.conf.broker_url.startswith("amqp")
        self._extra_queues = extra_queues
        # A team's app that declares its queues itself has none.
        self._delays: Any = getattr(app.amqp, "delays", None)

    def publish(self, draft: Draft) -> None:
        """Publish a run's message and wait until the broker has it.

        Raises:
            BrokerUnavailableError: it is away, and nothing was sent.
            RefusedError, QueueDiffersError: it does not take the message.
            UnconfirmedError: it did not confirm. The message may have gone out all the same; then
                it runs under this identifier and no other.
        """
        try:
            self._publish(draft)
        except PASSING as error:
            if _is_refusal(error):
                raise RefusedError from error
            if isinstance(error, PreconditionFailed):
                raise QueueDiffersError(str(error.reply_text)) from error
            raise UnconfirmedError(draft.run.id) from error

    def _publish(self, draft: Draft) -> None:
        started_s = time.monotonic()
        try:
            self._publish_once(draft)
        except PASSING as error:
            if time.monotonic() - started_s > STALE_WITHIN_S:
                raise
            self._publish_again(draft, error)

    def _publish_again(self, draft: Draft, first: Exception) -> None:
        try:
            self._publish_once(draft)
        except BrokerUnavailableError as error:
            if _is_refusal(first):
                raise
            # Nothing was sent this time, but the first message may have got through.
            raise UnconfirmedError(draft.run.id) from error

    def _publish_once(self, draft: Draft) -> None:
        with self._turn(self._app.producer_pool) as producer, within(PUBLISHES_WITHIN_S):
            with _translated():
                _ = producer.channel  # Connects; nothing has been sent until here.
                if draft.run.eta:
                    self._prepare_delay(producer.connection, draft.run.queue)
            try:
                self._apply(draft, producer)
            except PASSING:
                self._forget_delays()
                # A confirm that comes late would be taken for the next message's, so cut the line.
                if producer.connection:
                    producer.connection.collect()
                raise

    def publish_all(self, drafts: Sequence[Draft]) -> list[CeleriacError | None]:
        """Publish several messages at once; gives what went wrong with each, in order."""
        flight = Flight(PASSING)
        try:
            with (
                self._turn(self._app.pool) as connection,
                _fresh_channel(connection) as channel,
            ):
                for queue_name in {draft.run.queue for draft in drafts if draft.run.eta}:
                    with within(PUBLISHES_WITHIN_S):
                        self._prepare_delay(connection, queue_name)
                self._send_all(drafts, channel, flight)
        except BrokerUnavailableError as error:
            return [error] * len(drafts)
        except PASSING:
            self._forget_delays()
            log.warning("The broker broke off a batch of %d messages.", len(drafts), exc_info=True)
        return [flight.outcome(draft.run.id) for draft in drafts]

    @contextmanager
    def _turn(self, pool: Any) -> Iterator[Any]:
        try:
            resource = pool.acquire(block=True, timeout=TURN_WITHIN_S)
        except LimitExceeded:
            raise BrokerUnavailableError(
                "Too much is being submitted at once, so nothing was submitted. Try again shortly."
            ) from None
        with resource:
            yield resource

    def _send_all(self, drafts: Sequence[Draft], channel: Any, flight: Flight) -> None:
        producer: Any = self._app.amqp.Producer(channel, auto_declare=False)
        sends = {draft.run.id: partial(self._apply, draft, producer) for draft in drafts}
        if self._counts_down:
            flight.send_batched(sends, producer.batch())
        else:
            timeout_s = self._app.conf.broker_transport_options.get("read_timeout")
            flight.send_confirmed(sends, channel, timeout_s)

    def _apply(self, draft: Draft, producer: Any) -> None:
        task = self._app.tasks[draft.task_name]
        task.apply_async(**self._message(draft), producer=producer, retry=False)

    def _prepare_delay(self, connection: Any, queue_name: str | None) -> None:
        """Declare, once, where runs wait for their time; no worker may have been here before."""
        queues = self._app.amqp.queues
        name = queue_name or self._app.conf.task_default_queue
        if not self._counts_down and is_ours(queues[name]):
            self._delays.prepare(connection, lanes_of(queues, name))

    def _forget_delays(self) -> None:
        if self._delays:
            self._delays.forget()

    def check_queue(self, name: str | None, known: set[str]) -> None:
        """Refuse a queue that no worker of ours would listen to.

        Raises:
            InvalidInputError: the queue is not known.
        """
        known = known | names_of(self._app.amqp.queues.values()) | set(self._extra_queues)
        if name is not None and name not in known:
            detail = f"No worker listens to {name!r}. Known: {', '.join(sorted(known))}."
            raise InvalidInputError([FieldProblem("/options/queue", detail)])

    def revoke(self, run_ids: Sequence[str]) -> None:
        """Tell the workers to drop runs that wait and to end those that execute.

        Raises:
            BrokerUnavailableError: the request was not accepted.
        """
        with _translated():
            self._app.control.revoke(list(run_ids), terminate=True)

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

    def _message(self, draft: Draft) -> dict[str, Any]:
        return {
            "args": list(draft.call.args),
            "kwargs": dict(draft.call.kwargs),
            "task_id": draft.run.id,
            "eta": draft.run.eta,
            "expires": draft.expires,
            "headers": draft.headers,
            **self._routing(draft.options),
        }

    def _routing(self, options: SubmitOptions) -> dict[str, Any]:
        routing: dict[str, Any] = {}
        if options.queue is not None:
            routing["queue"] = options.queue
        if options.priority is not None:
            last = PRIORITIES - 1
            routing["priority"] = last - options.priority if self._counts_down else options.priority
        return routing


def _is_refusal(error: Exception) -> bool:
    """Tell whether the broker has said that it did not take the message."""
    return isinstance(error, MessageNacked) or getattr(error, "reply_code", None) == NO_ROUTE


@contextmanager
def _fresh_channel(connection: Any) -> Iterator[Any]:
    """Open a channel; a pooled connection that has gone stale is made anew."""
    try:
        channel = connection.channel()
    except PASSING:
        connection.collect()
        channel = connection.channel()
    try:
        yield channel
    except BaseException:
        # What comes late would be taken for an answer to something else, so cut the line.
        connection.collect()
        raise
    channel.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PreconditionFailed as error:
        raise QueueDiffersError(str(error.reply_text)) from error
    except PASSING as error:
        raise BrokerUnavailableError(
            "The broker did not accept the message, so nothing was submitted. Try again shortly."
        ) from error
