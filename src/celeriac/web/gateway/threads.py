"""Threads that run calls for the event loop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE_S = 0.002
"""How long calls queue before the number of threads is considered."""

BUSY_SHARE = 0.7
"""With this share of a core in use, one more thread would only fight for the interpreter."""


def run_in_own_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run `call` in a thread of its own; a process that stops does not wait for it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_perform, args=(loop, future, call), daemon=True).start()
    return future


class ShortThreads(Generic[T]):
    """Runs short calls, in as few threads as keep the processor busy.

    Only one thread at a time executes Python; several that are ready fight for the turn, and all
    lose by it. So one thread serves, until calls queue while the processor idles: the threads are
    waiting for a server then, and one more is woken, up to `limit`. Once the processor is busy,
    they go to sleep again one by one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: deque[Callable[[], None]] = deque()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()  # Guards "no call is left" together with the count.
        self._awake = 0
        self._started = 0
        self._is_watching = False
        self._is_one_too_many = False

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Queue `call`; the event loop may await its outcome."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._calls.append(partial(_perform, loop, future, call))
            nobody_serves = not self._awake
        if nobody_serves:
            self._wake_one()
        elif not self._is_watching:
            self._watch(loop)
        return future

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_watching = True
        loop.call_later(PATIENCE_S, self._look, loop, time.monotonic(), time.process_time())

    def _look(self, loop: asyncio.AbstractEventLoop, since: float, used_s: float) -> None:
        self._is_watching = False
        if not self._calls:
            return
        passed_s = time.monotonic() - since
        used_s = time.process_time() - used_s
        if used_s > BUSY_SHARE * passed_s:
            self._is_one_too_many = self._awake > 1
        elif self._awake < self._limit and passed_s < 2 * PATIENCE_S:
            self._wake_one()  # A look that comes late had to wait for its own turn.
        self._watch(loop)

    def _wake_one(self) -> None:
        self._is_one_too_many = False
        with self._lock:
            self._awake += 1
        if self._awake <= self._started:
            self._wakeups.put(None)
        else:
            self._started += 1
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            if self._may_sleep():
                self._wakeups.get()
            with suppress(IndexError):  # Another thread was quicker.
                self._calls.popleft()()

    def _may_sleep(self) -> bool:
        if self._calls and not self._is_one_too_many:
            return False
        with self._lock:
            may_sleep = not self._calls or (self._is_one_too_many and self._awake > 1)
            self._is_one_too_many = False
            self._awake -= may_sleep
            return may_sleep


def _perform(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], call: Callable[[], T]
) -> None:
    try:
        settle = partial(future.set_result, call())
    except BaseException as error:
        settle = partial(future.set_exception, error)
    with suppress(RuntimeError):  # The loop was closed meanwhile.
        loop.call_soon_threadsafe(_unless_done, future, settle)


def _unless_done(future: asyncio.Future[T], settle: Callable[[], None]) -> None:
    if not future.done():
        settle()
