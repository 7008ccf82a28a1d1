"""What a worker's loop acknowledges together."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from celery.bootsteps import CLOSE
from celery.concurrency import prefork
from kombu.message import Message
from vine import promise

from celeriac import redis_qos
from celeriac.consumer import Consumer
from celeriac.due_acks import DueAcks


class Loop:
    """Does, when it is asked to, what it was given."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], object]] = []

    def call_soon(self, call: Any, *args: Any) -> None:
        self.ready.append(lambda: call(*args))

    def turn(self) -> None:
        """Do all; what fails keeps the rest from being done, as in kombu's."""
        ready, self.ready = self.ready, []
        for call in ready:
            call()


class Held:
    """What one channel has delivered."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []

    def ack(self, tag: str) -> None:
        redis_qos._together.acks[self].append(tag)

    def tell_acknowledged(self, tags: list[str]) -> None:
        self.told.append(tags)


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_all_that_is_due_goes_in_one_exchange_for_each_channel(loop: Loop) -> None:
    one, other, due = Held(), Held(), DueAcks()
    due.add(loop, lambda: one.ack("a"))
    due.add(loop, lambda: other.ack("b"))
    due.add(loop, lambda: one.ack("c"))

    loop.turn()

    assert (one.told, other.told) == ([["a", "c"]], [["b"]])


def _fail() -> None:
    raise RuntimeError


def test_one_that_fails_keeps_no_other_from_being_acknowledged(loop: Loop) -> None:
    held, due = Held(), DueAcks()
    for call in (lambda: held.ack("a"), _fail, lambda: held.ack("b")):
        due.add(loop, call)

    with pytest.raises(RuntimeError):
        loop.turn()
    assert held.told == [["a"]]
    loop.turn()

    assert held.told == [["a"], ["b"]]


def test_loop_that_forgets_what_it_was_to_do_is_told_by_the_next(loop: Loop) -> None:
    held, due = Held(), DueAcks()
    due.add(loop, lambda: held.ack("a"))
    loop.ready.clear()

    due.add(loop, lambda: held.ack("b"))
    loop.turn()

    assert held.told == [["a", "b"]]


class Hub:
    """Is told what to do, and does nothing."""

    def __init__(self) -> None:
        self._ready: set[Any] = set()

    def _pop_ready(self) -> set[Any]:
        ready, self._ready = self._ready, set()
        return ready

    def call_soon(self, call: Any, *args: Any) -> None:
        self._ready.add(call if isinstance(call, promise) else promise(call, args))


def test_pool_that_stops_finds_what_is_to_be_acknowledged() -> None:
    channel = Mock(no_ack_consumers=None)
    consumer: Any = Consumer.__new__(Consumer)
    consumer.hub, consumer.blueprint = Hub(), Mock(state=CLOSE)
    consumer._due_acks = DueAcks()
    ack = promise(consumer.call_soon_ack, (Message(channel=channel, delivery_tag=1).ack_log_error,))

    ack(None, ())
    prefork._run_ready_callbacks(consumer.hub)

    channel.basic_ack.assert_called_once()
