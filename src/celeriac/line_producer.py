"""A producer of kombu's whose messages go over the line: what Celery publishes by, whatever it is.

Celery makes the message, with its routes, signals, signatures and events; this one writes it, and
waits for the confirm of what is a message of a task.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from amqp import Message
from kombu import Producer, Queue

from celeriac.line import Line
from celeriac.wire import Outgoing, route_of

Declare = Callable[[Any], None]
"""Declares a queue or an exchange, unless the broker has it."""


class _Connection:
    """Passes for a connection where Celery only asks it to translate errors."""

    def _reraise_as_library_errors(self) -> AbstractContextManager[None]:
        return nullcontext()


_CONNECTION = _Connection()


class Gathering(Producer):
    """Gathers messages instead of publishing them; those of tasks apart from all others."""

    auto_declare = False

    def __init__(self, declare: Declare = lambda entity: None, serializer: str = "json") -> None:
        super().__init__(None, serializer=serializer)
        self._declare = declare
        self.tasks: list[Outgoing] = []
        self.others: list[Outgoing] = []

    def _publish(
        self,
        body: Any,
        priority: int | None,
        content_type: str | None,
        content_encoding: str | None,
        headers: Mapping[str, Any] | None,
        properties: dict[str, Any],
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        exchange: str,
        declare: Sequence[Any],
        *_: Any,
    ) -> None:
        """Take a message as `publish` has prepared it.

        Source: kombu 5.7, `Producer._publish`.
        """
        for entity in declare:
            self._declare(entity)
        if isinstance(properties.get("reply_to"), Queue):
            properties["reply_to"] = properties["reply_to"].name
        body = body.encode(content_encoding or "utf-8") if isinstance(body, str) else body
        message: Any = Message(
            body,
            priority=priority,
            content_type=content_type,
            content_encoding=content_encoding,
            application_headers=headers,
            **properties,
        )
        self._take(
            Outgoing(
                route_of(exchange, routing_key or "", mandatory=mandatory),
                message._serialize_properties(),
                body,
                properties.get("correlation_id") or "",
            ),
            is_task="task" in (headers or {}),
        )

    @property
    def connection(self) -> Any:
        """Pass for a connection whose errors are what they are."""
        return _CONNECTION

    def _take(self, message: Outgoing, *, is_task: bool) -> None:
        (self.tasks if is_task else self.others).append(message)


class LineProducer(Gathering):
    """Writes each message at once, and waits until the broker has confirmed that of a task."""

    def __init__(self, line: Line, declare: Declare, within_s: float) -> None:
        super().__init__(declare)
        self._line = line
        self._until_s = time.monotonic() + within_s

    def _take(self, message: Outgoing, *, is_task: bool) -> None:
        """Send it.

        Raises:
            OSError, amqp.AMQPError: the broker did not confirm it.
        """
        left_s = self._until_s - time.monotonic()
        if not is_task:
            self._line.send([], left_s, beside=[message])
            return
        flight = self._line.send([message], left_s)
        flight.wait(self._until_s - time.monotonic())
        if error := flight.outcome(0):
            raise error
