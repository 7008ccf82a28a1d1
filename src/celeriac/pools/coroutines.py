"""Coroutines of tasks, all of them on one event loop in a thread of its own.

Celery's own code executes a run in a thread of the pool: signals, hooks, retries and results are as
ever. Only where it calls an `async def`, the thread waits for the loop, on which thousands of runs
wait at the same time. While a coroutine is advanced, its own run is Celery's current one there, so
`self.request`, `current_task` and what is logged are right.
"""

import asyncio
import inspect
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

from celery import _state
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.printing import finish_lines

WORKED_BY = "celeriac_worked_by"
"""The attribute of a task that has the coroutine function which a plain one stands for."""


_tasks: Any = vars(_state)["_task_stack"]


Tell = Callable[[], object]


class EndedError(BaseException):
    """The run was ended from outside, and whoever did so has told of its end."""


class _TakesTooLongError(SoftTimeLimitExceeded, asyncio.CancelledError):
    """The soft limit as a coroutine gets it: what asyncio waits with lets go as by a cancel."""


@dataclass(eq=False)
class Limits:
    """How long a coroutine may take, and who hears that it took longer; 0 and None are for ever."""

    soft_s: float | None = None
    hard_s: float | None = None
    tell: Callable[[bool, float], object] = lambda is_soft, limit_s: None
    """Gets whether it is the soft limit, and how many seconds it was."""


class Steps:
    """The coroutine of one run, which is advanced as Celery's current run."""

    def __init__(self, task: Any, coroutine: Coroutine[Any, Any, Any], limits: Limits) -> None:
        self._task = task
        self._request = task.request_stack.top
        self._coroutine = coroutine
        self._limits = limits
        self._awaited_by: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None

    async def finish(self) -> tuple[Any, BaseException | None]:
        """Await it, whatever it raises: SystemExit would end the loop, and all runs with it."""
        self._awaited_by = asyncio.current_task()
        timers = self._timers(asyncio.get_running_loop())
        try:
            value = await self
            # One that goes on after its end was told has no other end.
            return value, self._ended
        except _TakesTooLongError as error:
            return None, SoftTimeLimitExceeded(*error.args).with_traceback(error.__traceback__)
        except BaseException as error:
            return None, self._ended or error
        finally:
            self._awaited_by = None
            for timer in timers:
                timer.cancel()

    def interrupt(self, error: BaseException) -> None:
        """Raise this where the coroutine waits; to be called on the loop."""
        self._error = error
        if self._awaited_by is not None:
            self._awaited_by.cancel()

    def _timers(self, loop: AbstractEventLoop) -> list[asyncio.TimerHandle]:
        limits = self._limits
        calls = ((limits.soft_s, self._exceed_soft), (limits.hard_s, self._exceed_hard))
        return [loop.call_later(limit_s, call) for limit_s, call in calls if limit_s]

    def _exceed_soft(self) -> None:
        limit_s = self._limits.soft_s or 0
        self._limits.tell(True, limit_s)
        self.interrupt(_TakesTooLongError(limit_s))

    def _exceed_hard(self) -> None:
        self._limits.tell(False, self._limits.hard_s or 0)
        self.interrupt(EndedError())

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._coroutine.__await__()
        advance, given = (steps.send, None) if self._error is None else (steps.throw, self._error)
        while True:
            try:
                awaited = self._advance(advance, given)
            except StopIteration as end:
                return end.value
            try:
                given = yield awaited
                advance = steps.send
            except BaseException as error:
                given, advance = self._translated(error), steps.throw

    def _advance(self, advance: Callable[[Any], Any], given: Any) -> Any:
        stack = self._task.request_stack
        _tasks.push(self._task)
        stack.push(self._request)
        try:
            return advance(given)
        finally:
            finish_lines()  # The next to be advanced here may be another run.
            stack.pop()
            _tasks.pop()

    @property
    def _ended(self) -> EndedError | None:
        return self._error if isinstance(self._error, EndedError) else None

    def _translated(self, error: BaseException) -> BaseException:
        """Give the coroutine its soft limit for the cancel that stands for it."""
        if self._error is None or self._ended or not isinstance(error, asyncio.CancelledError):
            return error
        error, self._error = self._error, None
        if self._awaited_by is not None:
            self._awaited_by.uncancel()
        return error


class Coroutines:
    """The loop of a process, and what is executed on it, by the identifiers of its runs."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="celeriac-coroutines", daemon=True
        )
        self._lock = threading.Lock()
        self._limits: dict[str, Limits] = {}
        self._steps: dict[str, Steps] = {}
        self._ended: dict[str, Tell] = {}

    def start(self) -> None:
        """Begin to execute what comes."""
        self._thread.start()

    def stop(self) -> None:
        """Execute nothing more."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def expect(self, run_id: str, limits: Limits) -> None:
        """Get to know a run before a thread executes it."""
        with self._lock:
            self._limits[run_id] = limits

    def forget(self, run_id: str) -> Tell | None:
        """Forget a run that is over; gives who tells of its end if it was ended from outside."""
        with self._lock:
            self._limits.pop(run_id, None)
            return self._ended.pop(run_id, None)

    def end(self, run_id: str, tell: Tell) -> bool:
        """End a run, or have it end as it begins; tells whether it is expected here.

        Its end is to be told when nothing of it executes any more.
        """
        with self._lock:
            if run_id not in self._limits:
                return False
            self._ended.setdefault(run_id, tell)
            if steps := self._steps.get(run_id):
                self._loop.call_soon_threadsafe(steps.interrupt, EndedError())
            return True

    def wait_for(self, task: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Have a coroutine executed on the loop, and give what it returns or raise its error."""
        run_id = task.request_stack.top.id
        with self._lock:
            if run_id in self._ended:
                coroutine.close()
                raise EndedError
            steps = Steps(task, coroutine, self._limits_of(run_id))
            self._steps[run_id] = steps
        try:
            future = asyncio.run_coroutine_threadsafe(steps.finish(), self._loop)
            result, error = future.result()
        finally:
            with self._lock:
                self._steps.pop(run_id, None)
        if isinstance(error, asyncio.CancelledError):
            # To Celery it is an error of the task's; its own kind would end the thread.
            raise CancelledError("The coroutine was cancelled.") from error
        if error is not None:
            raise error
        return result

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _limits_of(self, run_id: str) -> Limits:
        limits = self._limits.get(run_id) or Limits()

        def tell(is_soft: bool, limit_s: float) -> None:
            if not is_soft:
                with self._lock:
                    self._ended[run_id] = _told
            limits.tell(is_soft, limit_s)

        return Limits(limits.soft_s, limits.hard_s, tell)

    def serve(self, task: Any) -> bool:
        """Have a task's coroutine function awaited where Celery calls it; tells whether it is one.

        What a task retries by itself is wrapped, and the wrapper calls `_orig_run`.
        """
        if hasattr(task, WORKED_BY):
            return True
        name = "_orig_run" if hasattr(task, "_orig_run") else "run"
        function = getattr(task, name)
        if not inspect.iscoroutinefunction(function):
            return False

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            coroutine, request = function(*args, **kwargs), task.request_stack.top
            if request is None or request.called_directly or self._is_here():
                return coroutine  # Who calls it as a function awaits it.
            return self.wait_for(task, coroutine)

        setattr(task, WORKED_BY, function)
        setattr(task, name, run)
        return True


def _told() -> None:
    """Stand for an end that has been told."""


def _new_loop() -> AbstractEventLoop:
    with suppress(ImportError):  # It is faster, and not to be had everywhere.
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()
