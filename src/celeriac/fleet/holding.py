"""A worker leaves paused queues alone: from its start, after a reconnect, and as soon as it hears.

Three things work together, so that no lost message of the broker undoes a pause: a worker reads the
set of paused queues before it consumes, and again when it hears commands; a command of ours has it
look at once; and it compares with each heartbeat. Celery's `add_consumer` and `cancel_consumer`
would not do: a worker that heard both within a heartbeat could not tell what they were for.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from celery.bootsteps import StartStopStep
from celery.utils.log import get_logger
from celery.worker import control
from celery.worker.consumer.tasks import Tasks
from celery.worker.state import maybe_shutdown

from celeriac.fleet import LOOK_AT_PAUSES, PAUSED_QUEUES
from celeriac.fleet.connection import connect_as
from celeriac.fleet.snapshot import consumed_queues
from celeriac.queues import names_of

RETRY_S = 1.0
RUN = 1
"""The state of a blueprint that has started (`celery.bootsteps.RUN`)."""

log = get_logger(__name__)


class Holding(StartStopStep):
    """Holds queues back; `held_queues` of the consumer are those it would consume otherwise."""

    requires = ("celery.worker.consumer.mingle:Mingle",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        register: Any = control.control_command
        register(name=LOOK_AT_PAUSES)(_look_at_pauses)
        self.held: set[str] = set()
        self.consumed: set[str] = set()
        self.paused: set[str] | None = None
        consumer.held_queues = self.held
        follow: Callable[[set[str]], None] = partial(self.follow, consumer)
        consumer.follow_pauses = follow
        consumer.read_paused = partial(self.read, consumer.app)

    def include(self, consumer: Any) -> bool:
        """Take the place just before the step that begins to consume.

        Steps stand after what they require, and Celery's own cannot be told to require this one.
        """
        included = bool(super().include(consumer))
        tasks = next((step for step in consumer.steps if isinstance(step, Tasks)), None)
        if included and tasks:
            consumer.steps.remove(self)
            consumer.steps.insert(consumer.steps.index(tasks), self)
        return included

    def start(self, consumer: Any) -> None:
        """Leave the paused queues out of those that the next step consumes."""
        self.paused = self.read(consumer.app)
        queues = consumer.app.amqp.queues
        wanted = names_of(queues.consume_from.values()) | self.held
        for name in self.held - self.paused:
            queues.select_add(queues[name])
        queues.deselect(sorted(self.paused))
        self._remember(wanted & self.paused, wanted - self.paused)
        if self.held:
            log.warning("These queues are paused and wait: %s", ", ".join(sorted(self.held)))

    def follow(self, consumer: Any, paused: set[str]) -> None:
        """Let the worker's own thread do what differs from what is paused now."""
        if paused != self.paused or self.consumed != set(consumed_queues(consumer)):
            consumer.call_soon(self.apply, consumer, paused)

    def apply(self, consumer: Any, paused: set[str]) -> None:
        """Cease to consume what is paused, and consume again what was held and is not."""
        if consumer.task_consumer is None or consumer.blueprint.state != RUN:
            return  # The next connection begins with reading what is paused.
        consumed = set(consumed_queues(consumer))
        for name in consumed & paused:
            consumer.cancel_task_queue(name)
        # A command of the broker may have come first and cancelled what was consumed until then.
        held = (self.held | self.consumed | consumed) & paused
        for name in self.held - paused - consumed:
            consumer.add_task_queue(name)
        self.paused = paused
        self._remember(held, set(consumed_queues(consumer)))

    def read(self, app: Any) -> set[str]:
        """Read what is paused; while Redis is away, wait, or go by what was paused last."""
        client = connect_as(app)
        try:
            while True:
                try:
                    return {name.decode() for name in client.smembers(PAUSED_QUEUES)}
                except (redis.RedisError, OSError) as error:
                    if self.paused is not None:
                        return self.paused
                    log.warning("Redis is away (%s): waiting to read which queues wait.", error)
                    maybe_shutdown()
                    time.sleep(RETRY_S)
        finally:
            client.close()

    def _remember(self, held: set[str], consumed: set[str]) -> None:
        self.held.clear()
        self.held |= held
        self.consumed = consumed


def _look_at_pauses(state: Any, **_: Any) -> dict[str, str]:
    """Do at once what was paused or resumed."""
    state.consumer.follow_pauses(state.consumer.read_paused())
    return {"ok": "the worker looks at what is paused"}


class HoldingAgain(StartStopStep):
    """Looks once more when the broker's commands arrive: one that came before was not heard."""

    requires = ("celery.worker.consumer.control:Control",)

    def start(self, consumer: Any) -> None:
        """Follow what was paused or resumed since the worker began to consume."""
        consumer.follow_pauses(consumer.read_paused())
