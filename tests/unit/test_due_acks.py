"""What a worker's loop acknowledges together."""

from collections.abc import Callable
from typing import Any

import pytest

from celeriac import redis_qos
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
