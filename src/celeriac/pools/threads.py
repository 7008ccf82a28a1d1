"""Celery's pool of threads, which ends in time when its worker stops.

A thread cannot be ended from outside. When the grace of the worker is over, what its threads still
execute is handed back, and the process ends under them (see `leave_threads_behind`).
"""

from concurrent.futures import Future, wait
from typing import Any

from celery.concurrency import thread
from celery.concurrency.prefork import _run_ready_callbacks
from kombu.asynchronous import get_event_loop

from celeriac.grace import grace
from celeriac.leaving import leave_at_once

LOOK_EVERY_S = 0.1

_left_behind: list[thread.TaskPool] = []


class TaskPool(thread.TaskPool):  # type: ignore[misc]
    """What a worker knows as its pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._futures: dict[str, Future[Any]] = {}

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        """Have a thread execute a run, as soon as one is free."""
        result = super().on_apply(*args, **kwargs)
        run_id = kwargs.get("correlation_id")
        if run_id:
            self._futures[run_id] = result.f
            result.f.add_done_callback(lambda _: self._futures.pop(run_id, None))
        return result

    def forget_waiting(self) -> set[str]:
        """Give up what no thread has begun; gives the runs that are executed."""
        return {run_id for run_id, future in list(self._futures.items()) if not future.cancel()}

    def on_stop(self) -> None:
        """Wait for what is executed, until the grace is over."""
        while (running := list(self._futures.values())) and not grace.is_over:
            wait(running, timeout=LOOK_EVERY_S)
            _keep_connection()
        if running:
            _left_behind.append(self)
        self.executor.shutdown(wait=not running, cancel_futures=True)


def leave_threads_behind() -> None:
    """End this process in good order, but without waiting for threads that execute a run.

    It returns when there is none: then the process ends by itself.
    """
    if _left_behind:
        leave_at_once()


def _keep_connection() -> None:
    """Acknowledge what has ended, and keep the broker from taking us for dead."""
    hub = get_event_loop()
    if hub is not None:
        hub.fire_timers()
        _run_ready_callbacks(hub)
