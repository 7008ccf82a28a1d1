"""A worker that is connected, has room, and is given nothing of what waits, connects anew.

After a broken connection it may be that the broker has forgotten a consumer which the worker
believes in, or counts messages against it which the worker knows nothing of. Both look well: the
worker answers pings and waits. So a thread asks the broker now and then how many messages wait, and
compares with what was received. Whoever holds as many messages as it may, is given others, or has
left the queue alone because it is paused, is not suspected.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import redis
from amqp.exceptions import AMQPError
from celery.bootsteps import StartStopStep
from celery.utils.log import get_logger
from kombu.exceptions import KombuError

from celeriac.fleet.holding import RUN

LOOKS = 3
"""How many times in a row nothing must have come, until a worker connects anew."""
ANSWERS_WITHIN_S = 2.0
PASSING = (KombuError, AMQPError, redis.RedisError, OSError)

log = get_logger(__name__)


class StalledError(ConnectionError):
    """The broker gives this worker nothing, though messages wait and there is room for them."""


class Intake:
    """What a worker was given since its start, by consumer tag; a Redis knows but one, empty."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self._messages: defaultdict[str, WeakSet[Any]] = defaultdict(WeakSet)

    def note(self, message: Any) -> None:
        """Note that a message was received."""
        tag = (message.delivery_info or {}).get("consumer_tag") or ""
        self.received[tag] += 1
        self._messages[tag].add(message)

    def held(self, tag: str) -> int:
        """Count what was received and is not settled; the worker's own thread may go on."""
        messages = self._messages.get(tag, ())
        return sum(not message.acknowledged for message in _copied(messages))


class Watchdog(StartStopStep):
    """Celery's way to run something along with a worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, controller: Any, **kwargs: Any) -> None:
        super().__init__(controller, **kwargs)
        self._watch: Watch | None = None

    def start(self, controller: Any) -> None:
        """Begin to look, when the pool has started."""
        stall_s = controller.app.conf.get("celeriac_stall_timeout_s")
        if stall_s:
            self._watch = Watch(controller, stall_s)
            self._watch.start()

    def close(self, controller: Any) -> None:
        """Look no more: a worker that stops takes no messages."""
        if self._watch:
            self._watch.end()


class Watch(threading.Thread):
    """Looks several times within the given time, and has the consumer restarted at its end."""

    def __init__(self, controller: Any, stall_s: float) -> None:
        super().__init__(name="celeriac-watchdog", daemon=True)
        self._controller = controller
        self._pause_s = stall_s / LOOKS
        self._suspicion = Suspicion()
        self._is_over = threading.Event()
        self._line: Any = None

    def run(self) -> None:
        """Look again and again until the worker stops."""
        while not self._is_over.wait(self._pause_s):
            try:
                self._look(self._controller.consumer)
            except PASSING as error:
                log.debug("The broker does not tell how many messages wait: %s", error)
                self._cut()
            except Exception:
                log.exception("The worker cannot look whether it is given what waits.")
                self._cut()
        self._cut()

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()

    def _look(self, consumer: Any) -> None:
        lanes = open_lanes(consumer)
        waiting = {lane for lane, names in lanes.items() if self._depth(names)}
        if stalled := self._suspicion.of(consumer, waiting):
            names = ", ".join(sorted(name for lane in stalled for name in lanes[lane]))
            log.error("Nothing comes from %s, where messages wait: connecting anew.", names)
            consumer.call_soon(_break, f"nothing came from {names}")

    def _depth(self, names: Iterable[str]) -> int:
        if self._line is None:
            # Nobody would answer the broker's heartbeats between two questions.
            self._line = self._controller.app.connection_for_read(
                heartbeat=0, connect_timeout=ANSWERS_WITHIN_S
            )
        with self._line.channel() as channel:
            return sum(
                int(channel.queue_declare(queue=name, passive=True).message_count) for name in names
            )

    def _cut(self) -> None:
        if self._line is not None:
            self._line.collect()
        self._line = None


class Suspicion:
    """Remembers for how many looks in a row a lane had room and messages, and gave none."""

    def __init__(self) -> None:
        self._received: Counter[str] = Counter()
        self._looks: Counter[str] = Counter()

    def of(self, consumer: Any, waiting: Iterable[str]) -> set[str]:
        """Give the lanes that are stalled, and begin anew with them."""
        received = Counter(consumer.intake.received)
        quiet = {lane for lane in waiting if received[lane] == self._received[lane]}
        self._received = received
        self._looks = Counter({lane: self._looks[lane] + 1 for lane in quiet})
        stalled = {lane for lane, looks in self._looks.items() if looks >= LOOKS}
        if stalled:
            self._looks.clear()
        return stalled


def open_lanes(consumer: Any) -> dict[str, list[str]]:
    """Give what the worker consumes now and has room for: names of queues by consumer tag."""
    task_consumer = getattr(consumer, "task_consumer", None)
    if task_consumer is None or not consumer.connection or consumer.blueprint.state != RUN:
        return {}
    tags = dict(task_consumer._active_tags)
    on_amqp = consumer.app.conf.broker_url.startswith("amqp")
    lanes = {tag: [name] for name, tag in tags.items()} if on_amqp else {"": list(tags)}
    most = _most(consumer)
    if consumer.qos_global and sum(map(consumer.intake.held, lanes)) >= most:
        return {}  # A team's classic queues share one limit.
    return {lane: names for lane, names in lanes.items() if consumer.intake.held(lane) < most}


def _most(consumer: Any) -> float:
    """Give how many messages a lane may hold; RabbitMQ goes by what it was when it began."""
    limits = [value for value in (consumer.qos.value, consumer.prefetch_at_start) if value]
    return min(limits, default=float("inf"))


def _break(why: str) -> None:
    """Have Celery restart the consumer, from within its own loop."""
    raise StalledError(why)


def _copied(messages: Iterable[Any]) -> list[Any]:
    while True:
        try:
            return list(messages)
        except RuntimeError:
            continue
