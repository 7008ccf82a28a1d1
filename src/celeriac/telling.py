"""A result backend that tells of many starts and ends of runs in one exchange.

A pool that executes short runs one after the other tells of them together; Celery's own code, which
executes each, then tells nothing that is told already, or will be.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import states
from celery.app.task import Context

from celeriac.backend import VERDICT, RunBackend
from celeriac.changes import Change, Verdict, write_together
from celeriac.worker_events import ABOUT, is_ignored

Told = tuple[Change, Any]
"""A change, and the request that hears of its verdict."""


@dataclass(eq=False, slots=True)
class Telling:
    """What is told of a run together with others: its start before it executes, its success after.

    Celery's own code, which executes the run in between, tells neither.
    """

    run_id: str
    start: Context | None = None
    """The request that has heard of the start; None where Celery's code is to tell of it."""
    is_start_stored: bool = False
    """Whether Celery's code, which stores STARTED first of all, need not do it."""
    success: Told | None = None


_executed_here = threading.local()


@contextmanager
def told_together(telling: Telling) -> Iterator[None]:
    """Tell nothing of the run that this thread executes but what `telling` leaves to it."""
    _executed_here.telling = telling
    try:
        yield
    finally:
        _executed_here.telling = None


def _telling_of(run_id: str) -> Telling | None:
    telling: Telling | None = getattr(_executed_here, "telling", None)
    return telling if telling and telling.run_id == run_id else None


class TellingBackend(RunBackend):
    """What the URL scheme `celeriac+redis://` stands for."""

    def start(self, task_id: str, request: Any) -> Verdict:
        """Tell that a run starts, unless that was told with others."""
        telling = _telling_of(task_id)
        if telling and telling.start:
            vars(request).update({name: getattr(telling.start, name) for name in (VERDICT, ABOUT)})
        return super().start(task_id, request)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Store a state of a run, unless it is its start and told already."""
        telling = _telling_of(task_id)
        if telling and telling.is_start_stored and state == states.STARTED:
            telling.is_start_stored = False
            return result
        return super().store_result(task_id, result, state, *args, **kwargs)

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store the result, or leave it to who tells of it with others."""
        telling = _telling_of(task_id)
        if telling is None or request.chord:
            super().mark_as_done(task_id, result, request, store_result, state)
            return
        is_stored = store_result and not is_ignored(request)
        value = self.encode_result(result, state) if is_stored else None
        telling.success = self._of_state(task_id, value, state, request, is_stored), request

    def start_of(self, task: Any, run_id: str, request: Context) -> Change:
        """Give what tells that a run starts, as storing STARTED would, or starting without."""
        ignores = getattr(request, "ignore_result", None)
        is_stored = task.track_started and not (task.ignore_result if ignores is None else ignores)
        result = {"pid": os.getpid(), "hostname": request.hostname} if is_stored else None
        return self._of_state(run_id, result, states.STARTED, request, is_stored)

    def write_together(self, changes: Sequence[Told]) -> list[Exception | None]:
        """Write changes of runs in one exchange; gives the error of each that cannot be written.

        What does not succeed so is tried again by itself, as often as if it had been alone.
        """
        try:
            answers = write_together(self.client, [change for change, _ in changes])
        except Exception as error:  # Whatever it is, each says by itself whether it meets it.
            answers = [error] * len(changes)
        return [self._settle(*each, answer) for each, answer in zip(changes, answers, strict=True)]

    def _settle(
        self, change: Change, request: Any, answer: Verdict | Exception
    ) -> Exception | None:
        try:
            if isinstance(answer, Exception):
                self._ensure_retryable(self._write, change, request)
            else:
                self._heed(answer, change, request)
        except Exception as error:
            return error
        return None

    def _of_state(
        self, task_id: str, result: Any, state: str, request: Any, is_stored: bool
    ) -> Change:
        meta = self._get_result_meta(result, state, None, request)
        encoded = self.encode(meta | {"task_id": task_id}) if is_stored else None
        return self._change(task_id, state, meta, request, encoded)
