"""The broker as a submitter sees it: publish a run's message, ask the workers to drop it."""

import time
from collections.abc import Sequence
from typing import Protocol

from amqp.exceptions import PreconditionFailed, RecoverableConnectionError
from celery import Celery

from celeriac.celeryconfig import CONNECT_TIMEOUT_S
from celeriac.errors import (
    BrokerUnavailableError,
    FieldProblem,
    InvalidInputError,
    QueueDiffersError,
    RefusedError,
    UnconfirmedError,
)
from celeriac.queues import names_of
from celeriac.runs.draft import Draft
from celeriac.runs.rabbitmq_publisher import RabbitMQPublisher
from celeriac.runs.redis_publisher import RedisPublisher
from celeriac.runs.sending import PASSING, Landing, counts_down, is_refusal, translated

STALE_WITHIN_S = 0.5
"""A pooled connection that fails this early was stale; a new one is worth a second attempt."""
AGAIN_WITHIN_S = 2.0
"""What was refused so soon, or open on a connection that broke, is published once more, under the
same name: two messages of one run are still one run."""


class Publisher(Protocol):
    """A way to a broker."""

    def publish(self, draft: Draft) -> None:
        """Publish a message, once."""

    def send_all(self, drafts: Sequence[Draft]) -> Landing:
        """Send several at once; what that gives waits, and tells what went wrong with each."""


class Broker:
    """Publishes with Celery's own producer, each call bounded in time."""

    def __init__(self, app: Celery, extra_queues: tuple[str, ...] = ()) -> None:
        self._app = app
        self._extra_queues = extra_queues
        self._publisher: Publisher = (
            RedisPublisher(app) if counts_down(app) else RabbitMQPublisher(app)
        )

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
            if is_refusal(error):
                raise RefusedError from error
            if isinstance(error, PreconditionFailed):
                raise QueueDiffersError(str(error.reply_text)) from error
            raise UnconfirmedError(draft.run.id) from error

    def _publish(self, draft: Draft) -> None:
        started_s = time.monotonic()
        try:
            self._publisher.publish(draft)
        except PASSING as error:
            is_known = is_refusal(error) or isinstance(error, RecoverableConnectionError)
            if time.monotonic() - started_s > (AGAIN_WITHIN_S if is_known else STALE_WITHIN_S):
                raise
            self._publish_again(draft, error)

    def _publish_again(self, draft: Draft, first: Exception) -> None:
        try:
            self._publisher.publish(draft)
        except BrokerUnavailableError as error:
            if is_refusal(first):
                raise
            # Nothing was sent this time, but the first message may have got through.
            raise UnconfirmedError(draft.run.id) from error

    def send_all(self, drafts: Sequence[Draft]) -> Landing:
        """Send several messages at once.

        Gives what is called to wait until they have landed, and tells what went wrong with each, in
        order. More may be sent before that.
        """
        return self._publisher.send_all(drafts)

    def check_queue(self, name: str | None, known: set[str]) -> None:
        """Refuse a queue that no worker of ours would listen to.

        Raises:
            InvalidInputError: the queue is not known.
        """
        if name is None:
            return
        known = known | names_of(self._app.amqp.queues.values()) | set(self._extra_queues)
        if name not in known:
            detail = f"No worker listens to {name!r}. Known: {', '.join(sorted(known))}."
            raise InvalidInputError([FieldProblem("/options/queue", detail)])

    def revoke(self, run_ids: Sequence[str]) -> None:
        """Tell the workers to drop runs that wait and to end those that execute.

        Raises:
            BrokerUnavailableError: the request was not accepted.
        """
        with translated():
            self._app.control.revoke(list(run_ids), terminate=True)

    def ping(self) -> None:
        """Connect to the broker anew.

        Raises:
            BrokerUnavailableError: it does not answer.
        """
        with (
            translated(),
            self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S) as connection,
        ):
            connection.connect()
            _ = connection.default_channel
