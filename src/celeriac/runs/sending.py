"""What both ways of publishing share: what Celery is told of a run, and what errors mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from amqp.exceptions import AMQPError, MessageNacked, PreconditionFailed
from celery import Celery
from kombu.exceptions import KombuError, LimitExceeded

from celeriac.celeryconfig import PRIORITIES
from celeriac.errors import BrokerUnavailableError, CeleriacError, QueueDiffersError
from celeriac.runs.draft import Draft

TURN_WITHIN_S = 20.0
"""How long one waits for a connection that others use; that says nothing of the broker."""
PASSING = (KombuError, AMQPError, MessageNacked, redis.RedisError, OSError)
NO_ROUTE = 312
Landing = Callable[[], list[CeleriacError | None]]
"""Waits until messages have landed, and tells of each what went wrong, or None."""


def counts_down(app: Celery) -> bool:
    """Tell whether the broker is no RabbitMQ; then its priorities go the other way round."""
    return not app.conf.broker_url.startswith("amqp")


def apply(app: Celery, draft: Draft, producer: Any) -> None:
    """Have Celery make a run's message, and publish it by this producer."""
    options = draft.options
    routing: dict[str, Any] = {}
    if options.queue is not None:
        routing["queue"] = options.queue
    if options.priority is not None:
        last = PRIORITIES - 1
        routing["priority"] = last - options.priority if counts_down(app) else options.priority
    task: Any = app.tasks[draft.task_name]
    task.apply_async(
        args=list(draft.call.args),
        kwargs=dict(draft.call.kwargs),
        task_id=draft.run.id,
        eta=draft.run.eta,
        expires=draft.expires,
        headers=draft.headers,
        producer=producer,
        retry=False,
        **routing,
    )


@contextmanager
def turn(pool: Any) -> Iterator[Any]:
    """Take what a pool has, as soon as others leave something.

    Raises:
        BrokerUnavailableError: they do not.
    """
    try:
        resource = pool.acquire(block=True, timeout=TURN_WITHIN_S)
    except LimitExceeded:
        raise BrokerUnavailableError(
            "Too much is being submitted at once, so nothing was submitted. Try again shortly."
        ) from None
    with resource:
        yield resource


def is_refusal(error: Exception) -> bool:
    """Tell whether the broker has said that it did not take the message."""
    return isinstance(error, MessageNacked) or getattr(error, "reply_code", None) == NO_ROUTE


@contextmanager
def translated() -> Iterator[None]:
    """Say of what goes wrong here that nothing was submitted."""
    try:
        yield
    except PreconditionFailed as error:
        raise QueueDiffersError(str(error.reply_text)) from error
    except PASSING as error:
        raise BrokerUnavailableError(
            "The broker did not accept the message, so nothing was submitted. Try again shortly."
        ) from error


def not_sent() -> BrokerUnavailableError:
    """Say of one of many that it was not sent."""
    return BrokerUnavailableError(
        "The broker did not accept the message, so nothing was submitted. Send it again."
    )
