"""A producer of kombu's whose messages go over the line: what Celery publishes by, whatever it is.

Celery makes the message, with its routes, signals, signatures and events; this one writes it, and
waits for the confirm of what is a message of a task.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from amqp import Message
from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery
from kombu import Producer, Queue
from kombu.exceptions import KombuError
from kombu.utils.functional import retry_over_time

from celeriac.line import Line
from celeriac.queues import DELAYED
from celeriac.wire import Outgoing, route_of

ANSWERS_WITHIN_S = 30.0
"""How long RabbitMQ may take for each message."""
_POLICY = frozenset(("max_retries", "interval_start", "interval_step", "interval_max"))
Passing = tuple[type[Exception], ...]
PASSING: Passing = (AMQPError, MessageNacked, KombuError, OSError)
Connections = Callable[[], AbstractContextManager[Any]]
Declare = Callable[[Any], None]
"""Declares a queue or an exchange, unless the broker has it."""


class Declaring:
    """Declares queues and exchanges, each once for each connection that publishes."""

    def __init__(self, line: Line, connection: Connections, within_s: float) -> None:
        self._line, self._connection, self._within_s = line, connection, within_s
        self._lock = threading.Lock()

    def __call__(self, entity: Any) -> None:
        """Declare one, unless the broker has it.

        Raises:
            OSError, amqp.AMQPError, kombu.KombuError: it is not there.
        """
        known = self._line.wire(self._within_s).declared
        name = f"{type(entity).__name__} {entity.name}"
        if name in known:
            return
        # One after the other: RabbitMQ says of a queue that another is making that it is there.
        if not self._lock.acquire(timeout=self._within_s):
            raise TimeoutError("RabbitMQ takes too long to declare a queue.")
        try:
            if name not in known:
                with self._connection() as connection, fresh_channel(connection) as channel:
                    entity.bind(channel).declare()
                known.add(name)
        finally:
            self._lock.release()


@contextmanager
def fresh_channel(connection: Any, passing: Passing = PASSING) -> Iterator[Any]:
    """Open a channel; a pooled connection that has gone stale is made anew."""
    try:
        channel = connection.channel()
    except passing:
        connection.collect()
        channel = connection.channel()
    try:
        yield channel
    except BaseException:
        # What comes late would be taken for an answer to something else, so cut the line.
        connection.collect()
        raise
    channel.close()


def connected(app: Celery) -> Any:
    """Give a connection of its own, made within the time that connecting may take in all."""
    connection: Any = app.connection_for_write()
    connection.ensure_connection(timeout=connection.connect_timeout)
    return connection


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
        route = route_of(exchange, routing_key or "", mandatory=mandatory)
        name = properties.get("correlation_id") or ""
        outgoing = Outgoing(route, message._serialize_properties(), body, name)
        self._take(outgoing, is_task="task" in (headers or {}))

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
        self._within_s = within_s

    def publish(
        self,
        body: Any,
        *args: Any,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Publish, again and again where Celery's policy says so.

        Raises:
            OSError, amqp.AMQPError: the broker did not confirm it.
        """

        def once() -> None:
            super(LineProducer, self).publish(body, *args, **options)

        if not retry:
            return once()
        policy = {name: value for name, value in (retry_policy or {}).items() if name in _POLICY}
        retry_over_time(once, PASSING, **policy)

    def _take(self, message: Outgoing, *, is_task: bool) -> None:
        if not is_task:
            self._line.send([], self._within_s, beside=[message])
            return
        flight = self._line.send([message], self._within_s)
        flight.wait(self._within_s)
        if error := flight.outcome(0):
            if not isinstance(error, MessageNacked):
                self._line.forget_declared()
            raise error


def publish_by_line(app: Celery, within_s: float = ANSWERS_WITHIN_S) -> None:
    """Have an app publish tasks to RabbitMQ over one connection a process, from any thread.

    It is for clients, whatever they call: `apply_async`, `delay`, canvas. What is to wait on
    RabbitMQ for its time, by native delayed delivery, takes Celery's own way. A worker publishes
    what follows a run by a connection of its own.
    """
    amqp: Any = app.amqp
    create = amqp._create_task_sender
    line = Line(lambda: connected(app).connection)
    # Not of the app's pool: whoever publishes may have its last connection already.
    declare = Declaring(line, partial(connected, app), within_s)

    def create_sender() -> Any:
        send = create()

        def send_task_message(producer: Any, *args: Any, **options: Any) -> Any:
            exchange = getattr(options.get("exchange"), "name", None) or ""
            if not exchange.startswith(DELAYED):
                producer = LineProducer(line, declare, within_s)
            return send(producer, *args, **options)

        return send_task_message

    amqp._create_task_sender = create_sender
    # What the app has made before.
    amqp.__dict__.pop("send_task_message", None)
