"""How a process publishes to RabbitMQ: one connection for all of its threads.

A connection for each thread, waiting for one confirm after the other, makes every submission as
slow as the broker's disk. Here all that is submitted at the same time is under way at once, and
each message has its own outcome. A connection that breaks, or falls silent, is made anew by whoever
publishes next.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from celeriac.deadline import within
from celeriac.wire import Outgoing, Wire

Connect = Callable[[], Any]


class BlockedError(OSError):
    """RabbitMQ takes no messages for now, for want of memory or disk; nothing was sent."""


class Flight:
    """Messages that are under way together, and what has become of each."""

    def __init__(self, count: int, wire: Wire) -> None:
        self._wire = wire
        self._open = set(range(count))
        self._is_over = threading.Event()
        self.errors: dict[int, Exception] = {}

    def landed(self, place: int) -> Callable[[Exception | None], None]:
        """Give what hears of the message in this place."""

        def note(error: Exception | None) -> None:
            if error is not None:
                self.errors[place] = error
            self._open.discard(place)
            if not self._open:
                self._is_over.set()

        return note

    def wait(self, within_s: float) -> None:
        """Wait until all have landed; a connection that is silent meanwhile is cut."""
        began_s = time.monotonic()
        if not self._open or self._is_over.wait(max(0.0, within_s)):
            return
        if self._wire.heard_at_s < began_s and not self._wire.is_blocked:
            self._wire.end(TimeoutError("RabbitMQ has fallen silent."))

    @property
    def open_count(self) -> int:
        """Give how many have not landed."""
        return len(self._open)

    def outcome(self, place: int) -> Exception | None:
        """Give what went wrong with a message; None where the broker has it."""
        if place in self._open:
            return TimeoutError("RabbitMQ has not confirmed the message.")
        return self.errors.get(place)


class Line:
    """Publishes over one connection, which is made when it is needed; `connect` makes one."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # A child has the socket of its parent, and no thread that reads from it.
        self._connecting = threading.Lock()
        self._wire: Wire | None = None
        self._tries = 0
        self._failure: Exception | None = None

    def wire(self, within_s: float) -> Wire:
        """Give a connection that works, as far as anybody knows.

        Raises:
            OSError, amqp.AMQPError: there is none.
        """
        if (wire := self._wire) and not wire.error:
            return wire
        seen = self._tries
        if not self._connecting.acquire(timeout=max(0.0, within_s)):
            raise TimeoutError("Connecting to RabbitMQ takes too long.")
        try:
            if self._tries != seen and self._failure:  # While this thread waited for its turn.
                raise RecoverableConnectionError(str(self._failure)) from self._failure
            if (wire := self._wire) is None or wire.error:
                wire = self._wire = self._connected(within_s)
            return wire
        finally:
            self._connecting.release()

    def _connected(self, within_s: float) -> Wire:
        self._tries += 1
        try:
            with within(within_s):
                wire = Wire(self._connect())
        except Exception as error:
            self._failure = error
            raise
        self._failure = None
        return wire

    def send(
        self, messages: Sequence[Outgoing], within_s: float, beside: Sequence[Outgoing] = ()
    ) -> Flight:
        """Write messages, and others beside them that nobody waits for.

        Raises:
            BlockedError, OSError, amqp.AMQPError: nothing was written.
        """
        until_s = time.monotonic() + within_s
        while True:
            wire = self.wire(until_s - time.monotonic())
            flight = Flight(len(messages), wire)
            sent = [(message, flight.landed(place)) for place, message in enumerate(messages)]
            if not wire.wait_until_it_flows(until_s - time.monotonic()):
                raise BlockedError("RabbitMQ takes no messages for now.")
            try:
                wire.write([*sent, *((each, None) for each in beside)], until_s - time.monotonic())
            except RecoverableConnectionError:  # It has broken since; nothing was written.
                continue
            return flight

    def forget_declared(self) -> None:
        """Let everything be declared anew: somebody has deleted what was there."""
        if wire := self._wire:
            wire.declared.clear()
