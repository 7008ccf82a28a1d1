"""Celery's prefork pool, which ends what it has begun when its worker stops.

A worker that stops drops each run that it has written to a child process and that the child has not
begun yet. The child executes it all the same. Then it waits half a minute for somebody to take its
result, or for ever for the rest of a run that was written in part; and the worker waits for the
child. Here such a run counts as begun, and results are taken until the last child has ended.
"""

import signal
import time
from contextlib import suppress
from typing import Any

from billiard.pool import CLOSE, TERMINATE, WorkersJoined
from celery.concurrency import asynpool, prefork

from celeriac.grace import grace
from celeriac.pools.forking import fork_safely

LOOK_EVERY_S = 0.1
"""How soon the end of a child is noticed."""
KILL_AFTER_S = 2.0
"""How long a task may take to clean up when its worker's grace is over."""


class ResultHandler(asynpool.ResultHandler):  # type: ignore[misc]
    """Takes what the children send."""

    def on_stop_not_started(self) -> None:
        """Take results until every child has ended; all of them were told to."""
        open_pipes = set(self.fileno_to_outq)
        with suppress(WorkersJoined):
            while self._state != TERMINATE:
                self._take(open_pipes)
                if self.check_timeouts is not None:
                    self.check_timeouts()
                self.join_exited_workers(shutdown=True)

    def _take(self, open_pipes: set[int]) -> None:
        """Take what has come; a pipe that cannot be read any more is not open."""
        readable, _, _ = asynpool._select(open_pipes, timeout=LOOK_EVERY_S)
        for pipe in readable:
            self._flush_outqueue(
                pipe, open_pipes.discard, self.fileno_to_outq, self.on_state_change
            )


class Pool(asynpool.AsynPool):  # type: ignore[misc]
    """Holds the child processes."""

    ResultHandler = ResultHandler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._is_ending = False
        fork_safely()
        super().__init__(*args, **kwargs)

    def _join_exited_workers(self, shutdown: bool = False) -> Any:
        if shutdown and grace.is_over:
            self._end_running()
        return super()._join_exited_workers(shutdown)

    def _end_running(self) -> None:
        """End what is executed when the grace is over; kill who takes too long about it."""
        if not self._is_ending:
            self._is_ending = True
            grace.end_running()
        elif grace.is_cut or time.monotonic() - (grace.over_at_s or 0) > KILL_AFTER_S:
            for child in self._pool:
                self.terminate_job(child.pid, signal.SIGKILL)

    def flush(self) -> None:
        """Forget what no child has begun to read; the broker has it still."""
        if self._state != CLOSE:
            super().flush()
            return
        for job in tuple(self._cache.values()):
            if not (job._accepted or job._write_to):
                job.discard()
        self.outbound_buffer.clear()
        for job in tuple(self._cache.values()):
            writer = asynpool._get_job_writer(job)
            if writer in self._active_writers:
                self._flush_writer(job._write_to, writer)
        self._active_writers.clear()
        self._active_writes.clear()


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """What a worker knows as its pool."""

    Pool = Pool

    def forget_waiting(self) -> set[str]:
        """Give up what no child has begun to read; gives the runs that children have."""
        self.flush()
        return {job.correlation_id for job in self._pool._cache.values()}
