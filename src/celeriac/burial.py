"""How a worker makes a dead letter of a message, whatever broker and queue it came from.

Queues of ours on RabbitMQ have a dead-letter exchange: there, to reject a message is to move it.
Elsewhere the worker publishes a copy into the dead-letter queue, and acknowledges the message when
the broker has the copy. On a Redis broker the queue `celery_see.dead` is a list.
"""

import json
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.app.task import Context
from kombu.message import Message

from celeriac.delivery import queue_of
from celeriac.queues import EXCHANGE, dead_name_of, dead_queue, is_ours

HEADER = "celeriac_dead"
"""The header of a dead letter that a worker made: where it came from, why and when."""
CONFIRM_WITHIN_S = 5.0
MOST_WORDS = 1000
"""How much of an error's message its dead letter keeps."""


def goes_to_dead_letters(app: Celery, message: Message) -> bool:
    """Tell whether the broker makes a dead letter of the message when it is rejected."""
    if not app.conf.broker_url.startswith("amqp"):
        return False
    delivery = message.delivery_info
    exchange, queues = delivery.get("exchange"), app.amqp.queues
    if exchange == EXCHANGE.name:
        return True
    name = queue_of(app, delivery)
    return name is not None and name in queues and is_ours(queues[name])


def bury_or_requeue(
    app: Celery, message: Message, logger: Any, errors: Any, requeue: bool = False
) -> None:
    """Reject a message as `Message.reject_log_error` does, but let no letter get lost."""
    if not requeue:
        bury(app, message, logger, errors)
    else:
        Message.reject_log_error(message, logger, errors, requeue=True)


def bury(
    app: Celery, message: Message, logger: Any, errors: Any, error: Exception | None = None
) -> None:
    """Make a dead letter of a message, with the error where no run tells of it."""
    try:
        _publish_copy(app, message, error)
    except Exception:
        by_broker = goes_to_dead_letters(app, message)
        told = "its error is in this log alone" if by_broker else "its message is given out again"
        logger.exception("A dead letter could not be published; %s.", told)
        Message.reject_log_error(message, logger, errors, requeue=not by_broker)
    else:
        message.ack_log_error(logger, errors)


def _publish_copy(app: Celery, message: Message, error: Exception | None) -> None:
    origin = queue_of(app, message.delivery_info) or app.conf.task_default_queue
    death: dict[str, Any] = {"queue": origin, "reason": "rejected"}
    death["at"] = datetime.now(UTC).isoformat()
    if error is not None:
        words = str(error)[:MOST_WORDS].encode(errors="replace").decode()
        death["error"] = {"type": type(error).__name__, "message": words}
    # What was compressed is not any more.
    headers = {k: v for k, v in (message.headers or {}).items() if k != "compression"}
    on_amqp = app.conf.broker_url.startswith("amqp")
    # A child process closes, when it is forked, what waits in this process' pool of connections.
    with app.connection_for_write() as connection:
        producer: Any = connection.Producer()
        producer.publish(
            _written(message.body),
            exchange="",
            routing_key=dead_name_of(origin),
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            headers={**headers, HEADER: death},
            correlation_id=message.properties.get("correlation_id") or "",
            reply_to=message.properties.get("reply_to") or "",
            delivery_mode=2,
            priority=0,
            declare=[dead_queue(origin)] if on_amqp else [],
            retry=False,
            **({"timeout": CONFIRM_WITHIN_S, "mandatory": True} if on_amqp else {}),
        )


def _written(body: Any) -> Any:
    """Give a body as it can be published: on Redis it may be anything that JSON has."""
    return body if isinstance(body, (str, bytes, bytearray, memoryview)) else json.dumps(body)


def request_of(message: Message, hostname: str) -> Context:
    """Give what a message tells of its run, as far as it can be read."""
    headers = {k: v for k, v in message.headers.items() if k not in ("args", "kwargs")}
    try:
        args, kwargs, _ = message.payload
    except Exception:
        args, kwargs = (), {}
    return Context(
        headers,
        args=args if isinstance(args, (list, tuple)) else (),
        kwargs=kwargs if isinstance(kwargs, dict) else {},
        hostname=hostname,
        delivery_info=message.delivery_info,
    )
