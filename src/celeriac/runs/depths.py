"""How many messages wait in each queue, as the broker tells, asked at most once a second."""

import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from celeriac.celeryconfig import CONNECT_TIMEOUT_S
from celeriac.queues import lanes_of
from celeriac.runs.sending import PASSING

FRESH_S = 1.0
"""How long an answer is good for everybody in this process."""
AWAY_S = 3.0
"""How long nobody asks again after the broker was away."""


@dataclass(frozen=True)
class Depth:
    """Messages that are ready, and consumers where the broker counts them; a Redis does not."""

    ready: int
    consumers: int | None


class Depths:
    """Asks by passive declaration, on one connection that nothing else uses."""

    def __init__(self, app: Celery) -> None:
        self._queues = app.amqp.queues
        self._line = _Line(app)
        weakref.finalize(self, self._line.cut)
        self._lock = threading.Lock()
        self._known: dict[str, Depth] | None = {}
        self._asked_s = float("-inf")

    def of(self, names: Iterable[str]) -> Mapping[str, Depth] | None:
        """Give the depth of each queue, 0 for one that does not exist; None without a broker."""
        wanted = set(names)
        with self._lock:
            if self._is_stale(wanted):
                self._known = self._ask_twice(wanted)
                self._asked_s = time.monotonic()
            return self._known

    def _is_stale(self, wanted: set[str]) -> bool:
        age_s = time.monotonic() - self._asked_s
        if self._known is None:
            return age_s > AWAY_S
        return age_s > FRESH_S or not wanted <= self._known.keys()

    def _ask_twice(self, names: set[str]) -> dict[str, Depth] | None:
        """Ask on the connection that is open, which may be stale, then on a new one."""
        for _ in range(2 if self._line.is_open else 1):
            try:
                return {name: self._depth(name) for name in sorted(names)}
            except PASSING:
                self._line.cut()
        return None

    def _depth(self, name: str) -> Depth:
        """Add up the lanes of a queue; a worker that consumes both is one consumer."""
        lanes = [self._line.ask(lane.name) for lane in lanes_of(self._queues, name)]
        return Depth(sum(lane.ready for lane in lanes), lanes[0].consumers)


class _Line:
    """A connection that opens when it is needed, and the channel in use on it."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._counts_consumers = app.conf.broker_url.startswith("amqp")
        self._connection: Any = None
        self._channel: Any = None

    @property
    def is_open(self) -> bool:
        """Tell whether there is a connection, be it stale."""
        return self._connection is not None

    def ask(self, name: str) -> Depth:
        """Give a queue's depth; an error of kombu's or below says that the broker is away."""
        channel = self._open()
        try:
            answer = channel.queue_declare(queue=name, passive=True)
        except self._connection.channel_errors:
            # It does not exist, and RabbitMQ closes the channel that asked for it.
            self._channel = None
            return Depth(0, 0 if self._counts_consumers else None)
        consumers = answer.consumer_count if self._counts_consumers else None
        return Depth(answer.message_count, consumers)

    def cut(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.collect()
        self._connection = self._channel = None

    def _open(self) -> Any:
        if self._connection is None:
            # Nobody would answer the broker's heartbeats between two questions.
            connection = self._app.connection_for_read(
                heartbeat=0, connect_timeout=CONNECT_TIMEOUT_S
            )
            connection.connect()
            self._connection = connection
        if self._channel is None:
            self._channel = self._connection.channel()
        return self._channel
