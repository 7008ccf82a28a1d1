"""A bound on all that somebody waits for RabbitMQ, however many answers that takes.

The deadlines on a connection bound each answer. A submission over a new connection waits for some
fifteen, so a broker that is slow with each would hold it for twenty seconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

from kombu.transport import pyamqp

_at_s: ContextVar[float] = ContextVar("deadline_at_s", default=inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let what waits for RabbitMQ in this block fail (`TimeoutError`) when the time is over."""
    token = _at_s.set(min(_at_s.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _at_s.reset(token)


class Connection(pyamqp.Connection):  # type: ignore[misc]
    """Keeps the deadline of whoever waits."""

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Wait for what comes next, at most until the deadline."""
        at_s = _at_s.get()
        if at_s == inf:
            return super().blocking_read(timeout)
        left_s = at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("The time is over that waiting for RabbitMQ may take in all.")
        usual_s = timeout if timeout is not None else self.sock.gettimeout() or self.read_timeout
        return super().blocking_read(left_s if usual_s is None else min(left_s, usual_s))
