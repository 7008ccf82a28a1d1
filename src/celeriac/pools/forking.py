"""What stands still in a worker's process at the instant at which it forks a child.

A lock that another thread has at that instant stays locked in the child for ever. In the child,
Python makes the locks of `logging`'s handlers anew, but not the one inside the stream that a
handler writes to: the child would hang at its first line, and the run that it executes with it.
So a fork waits until no other thread is writing a line.

A cached property has a lock too, one for all objects of its class, such as the connection of a
result backend. What another thread was about to find out there, the child finds out by itself.
"""

import gc
import logging
import os
import threading
from contextlib import suppress
from functools import cache, cached_property, partial
from typing import Any

WRITTEN_WITHIN_S = 5.0
"""Longer than a line takes; who reads our output may have stopped reading it."""


class _Held(threading.local):
    """The locks that the forking thread has taken."""

    def __init__(self) -> None:
        self.locks: list[Any] = []


_held = _Held()


@cache
def fork_safely() -> None:
    """Have no child of this process wait for what a thread did that it does not have."""
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)
    # Python 3.12 has none of these locks, but kombu's properties have.
    locked = [each for each in gc.get_objects() if isinstance(each, cached_property)]
    os.register_at_fork(after_in_child=partial(_unlock, locked))


def _unlock(properties: list[Any]) -> None:
    for each in properties:
        if hasattr(each, "lock"):
            each.lock = threading.RLock()


def _hold() -> None:
    for handler in _handlers():
        if handler.lock and handler.lock.acquire(timeout=WRITTEN_WITHIN_S):
            _held.locks.append(handler.lock)


def _release() -> None:
    while _held.locks:
        with suppress(RuntimeError):  # In the child it is a new lock most often, that nobody has.
            _held.locks.pop().release()


def _handlers() -> set[logging.Handler]:
    loggers = [logging.getLogger(), *list(logging.root.manager.loggerDict.values())]
    return {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
