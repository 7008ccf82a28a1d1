"""A result backend that tells of each change of a run beside storing Celery's own result.

Celery's key `celery-task-meta-<id>`, its channel and its content stay exactly as `RedisBackend`
writes them, so every Celery client reads the results. In the same step the worker writes what
happened as an event: into the stream, and into the run's live record (see `celeriac.changes`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from celery import states
from celery._state import get_current_worker_task
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured, TaskRevokedError

from celeriac.changes import NO_LINES, Change, Lines, Verdict, write_change
from celeriac.chords import ChordBackend
from celeriac.events import (
    KEEP_WAITING_S,
    MOST_ENTRIES,
    RECORD_PREFIX,
    Event,
    EventKind,
    append_event,
)
from celeriac.exchange import sender_of
from celeriac.lag import backlog
from celeriac.log_capture import lines_of_ending
from celeriac.marks import MAX_BYTES, Keeping
from celeriac.replays import attempt_of
from celeriac.subscriptions import ResultConsumer
from celeriac.worker_events import DEAD, event_of, is_ignored, of_message

REVOKED_REASON = "revoked"
"""Celery's word for a run that somebody has revoked; others are `expired` and `terminated`."""
VERDICT, _LINES = "celeriac_verdict", "celeriac_lines"
"""What a request is told of itself, between one call of the backend and the next."""
ENDED = "celeriac_ended"
"""The same, of a failure that is stored with all that follows from it."""


class RunBackend(ChordBackend):
    """Celery's Redis backend with run records; the URL scheme is `celeriac+redis://`."""

    ResultConsumer = ResultConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.connection_errors:
            raise ImproperlyConfigured("Celery lacks its Redis support: install celery[redis]")
        self._unsent: tuple[str | None, dict[str, Any]] = None, {}
        conf = self.app.conf
        self._most_restarts = conf.get("celeriac_delivery_limit") or 0
        self._keeping = Keeping(
            conf.get("celeriac_redact", ()), conf.get("celeriac_max_value_bytes", MAX_BYTES)
        )

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe later, in `get()`, so that publishing never waits for Redis."""

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        meta = self._get_result_meta(result, state, traceback, request)
        encoded = self.encode(meta | {"task_id": task_id})
        self._write(self._change(task_id, state, meta, request, encoded), request)
        return result

    def start(self, task_id: str, request: Any) -> Verdict:
        """Tell that a run starts, unless storing its result has told it, and whether it may."""
        if not hasattr(request, VERDICT):
            self.tell(task_id, states.STARTED, request)
        return Verdict(getattr(request, VERDICT))

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store the result, or tell at least of the end where nobody wants the result."""
        super().mark_as_done(task_id, result, request, store_result, state)
        if request and not (store_result and not is_ignored(request)):
            self.tell(task_id, state, request)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """Store the error, or tell at least of it where nobody wants the result."""
        super().mark_as_failure(
            task_id, exc, traceback, request, store_result, call_errbacks, state
        )
        if request and not store_result:
            self.tell(task_id, state, request, exc, traceback)
        if request:
            setattr(request, ENDED, True)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """Store that the run was revoked, or tell at least of it where nobody wants the result."""
        super().mark_as_revoked(task_id, reason, request, store_result, state)
        if request and not store_result:
            self.tell(task_id, state, request, TaskRevokedError(reason))

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail the callback of a chord, of which no worker and no message has told what it is."""
        # It would have been sent by the part that failed last, which executes here.
        task = get_current_worker_task()
        part = task.request if task else None
        headers = {"task": callback.task, "id": callback.id}
        headers |= {"root_id": part.root_id, "parent_id": part.id} if part else {}
        queue = callback.options.get("queue")
        name = getattr(queue, "name", queue)
        about = self.about_message(headers, callback.args, callback.kwargs, name)
        self._unsent = callback.id, about
        try:
            return super().chord_error_from_stack(callback, exc)
        finally:
            self._unsent = None, {}

    def mark_as_dead(self, task_id: str, error: BaseException, request: Any) -> None:
        """Store that the run's message goes to the dead letters, to Celery's clients a failure."""
        meta = self._get_result_meta(
            self.encode_result(error, states.FAILURE), states.FAILURE, None, request
        )
        encoded = None if is_ignored(request) else self.encode(meta | {"task_id": task_id})
        change = self._change(task_id, DEAD, meta, request, encoded)
        self._ensure_retryable(self._write, change, request)

    def tell(
        self,
        task_id: str,
        state: str,
        request: Any,
        error: BaseException | None = None,
        traceback: str | None = None,
    ) -> None:
        """Tell of a change of a run, and store no result."""
        if request.is_eager:  # It is a call of its caller's, and no run.
            return
        meta = {"result": self.encode_result(error, state), "traceback": traceback}
        change = self._change(task_id, state, meta, request, None)
        self._ensure_retryable(self._write, change, request)

    def count_in_chord(self, task_id: str, request: Any) -> None:
        """Count a run that has succeeded in its chord, where its worker may have died before.

        What follows a run otherwise has been sent before its success was stored.
        """
        if not request.chord or is_ignored(request):
            return
        meta = self.get_task_meta(task_id, cache=False)
        if meta["status"] == states.SUCCESS:
            count = self.on_chord_part_return
            self._ensure_retryable(count, request, states.SUCCESS, meta["result"])

    def cancellation(self, task_id: str, reason: str = REVOKED_REASON) -> Change:
        """Give what a cancel writes of a run that waits: what Celery would write of a revoke."""
        result = self.encode_result(TaskRevokedError(reason), states.REVOKED)
        meta = self._get_result_meta(result, states.REVOKED, None, None)
        encoded = self.encode(meta | {"task_id": task_id})
        change = self._change(task_id, states.REVOKED, meta, None, encoded)
        return replace(change, asks_to_cancel=True)

    def replay(
        self, headers: Mapping[str, Any], args: Any, kwargs: Any, queue: str, at: datetime
    ) -> Change:
        """Give what is written of a run whose dead letter was sent again at this instant."""
        task_id, attempt = headers["id"], attempt_of(Context(dict(headers)))
        about = self.about_message(headers, args, kwargs, queue) | {"attempt": attempt}
        return Change(
            event=Event(task_id, EventKind.REPLAYED, at, about),
            state=states.PENDING,
            result_key=self.get_key_for_task(task_id),
            result=None,
            keep_s=KEEP_WAITING_S,
            attempt=attempt,
        )

    def about_message(
        self, headers: Mapping[str, Any], args: Any, kwargs: Any, queue: str | None
    ) -> dict[str, Any]:
        """Give what a message tells of its run, for an event; arguments have marks."""
        return of_message(self.app, self._keeping, headers, args, kwargs, queue)

    def _change(
        self,
        task_id: str,
        state: str,
        meta: Mapping[str, Any],
        request: Any,
        result: str | bytes | None,
    ) -> Change:
        event = event_of(self.app, self._keeping, task_id, state, meta, request)
        unsent, about = self._unsent
        if request is None and task_id == unsent:
            event = replace(event, data={**about, **event.data})
        return Change(
            event=event,
            state=state,
            result_key=self.get_key_for_task(task_id),
            result=result,
            keep_s=self.failure_expires if state == states.FAILURE else self.expires,
            attempt=event.data.get("attempt"),
            # Expiry is not for ever: whoever submits the run again may give it more time.
            forbids_start=event.data.get("reason") == REVOKED_REASON,
            most_restarts=self._most_restarts,
            lines=self._lines_before(event, request),
        )

    def _write(self, change: Change, request: Any) -> None:
        verdict = self.ensure(write_change, (self.client, change, sender_of(self.app)))
        self._heed(verdict, change, request)

    def _heed(self, verdict: Verdict, change: Change, request: Any) -> None:
        if change.lines.events:
            delattr(request, _LINES)
        if request is not None and change.state == states.STARTED:
            setattr(request, VERDICT, verdict)
        elif verdict is Verdict.CANCELLED and change.state in (states.RETRY, states.FAILURE):
            self._revoke(change, request)

    def _revoke(self, change: Change, request: Any) -> None:
        """End a cancelled run as what it is, in whatever way its attempt has ended."""
        run_id, error = change.event.run_id, TaskRevokedError(REVOKED_REASON)
        if change.result is None:
            self.tell(run_id, states.REVOKED, request, error)
        else:
            self.store_result(run_id, error, states.REVOKED, request=request)

    def add_lines(self, lines: Sequence[Event]) -> None:
        """Add lines that runs have logged to the stream.

        Raises:
            redis.RedisError: some may not be there.
        """
        with self.client.pipeline(transaction=False) as pipe:
            for line in lines:
                append_event(pipe, line)
            pipe.execute()

    def has_room_for_lines(self) -> bool:
        """Tell whether lines can be added without pushing out events that are not recorded yet."""
        return backlog(self.client) < MOST_ENTRIES // 2

    def _lines_before(self, event: Event, request: Any) -> Lines:
        """Give what the attempt has logged and what must stand before its end."""
        if request is None or not (event.kind.finishes or event.kind is EventKind.RETRY):
            return NO_LINES
        # They are given once, and storing may be tried again.
        lines: Lines = getattr(request, _LINES, None) or Lines(lines_of_ending(self.app, request))
        setattr(request, _LINES, lines)
        return lines

    def _forget(self, task_id: str) -> None:
        super()._forget(task_id)
        self.client.delete(RECORD_PREFIX + task_id)
