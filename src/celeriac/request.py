"""A run's message in the worker's main process, as Celery has it, with some traps less.

Celery stores there how a run has ended whose process could not: it expired, was revoked, ran out of
time or was lost. It would wait for Redis and do nothing else meanwhile. Here a thread waits, and
has the message acknowledged afterwards; when the worker ends before, the broker has it still.

A connection to RabbitMQ belongs to the thread that reads from it. So what the thread has to say to
the broker is said by the worker's own loop: Celery hands over what acknowledges or rejects, and
events are handed over here.
"""

import logging
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any

from amqp import Channel
from billiard.common import TERM_SIGNAME
from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.exceptions import Reject, Terminated, TimeLimitExceeded
from celery.platforms import signals
from celery.worker.request import Request
from celery.worker.state import task_ready
from kombu.asynchronous import get_event_loop
from kombu.exceptions import ContentDisallowed, DecodeError

from celeriac.backend import ENDED
from celeriac.clock import on_own_clock
from celeriac.replays import attempt_of

UNREADABLE = (ContentDisallowed, DecodeError, TypeError, ValueError)
"""What a child raises that cannot read a message; a task's own errors come back as results."""

logger = logging.getLogger(__name__)


class Aside:
    """Does one thing after the other in the background."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None

    def do(self, call: Callable[[], object]) -> None:
        """Do this as soon as what was given before is done."""
        self._calls.put(call)
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._serve, name="celeriac-ends", daemon=True)
                self._thread.start()

    def is_current(self) -> bool:
        """Tell whether the caller is what is done in the background."""
        return current_thread() is self._thread

    def _serve(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call()
            except Exception:  # The message stays with the broker; the others must go on.
                logger.exception("The end of a run could not be stored.")


# One for the process: its calls go to Redis one after the other, in the order in which they came.
_ends = Aside()


class RunRequest(Request):
    """Hands a run back that was ended in place of another, and never waits for Redis.

    Of a message that is rejected for good it tells that the run is dead.

    To end a run, Celery kills the child process that had it. In the moments after a run has ended,
    that child may already execute the next one, which Celery would then take for revoked.

    When it is due, and when it has expired, is judged by the clock that all hosts share.
    """

    _is_ending = False
    _acknowledges_later = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known: Any = self
        known._eta = on_own_clock(known._eta)
        known._expires = on_own_clock(known._expires)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """Handle that the attempt failed, was ended, or could not even begin."""
        # The types know neither; Celery sets one of them before it ends a run.
        known: Any = self
        asked = known._already_revoked or known._already_cancelled
        error = _error_of(exc_info)
        if not (asked or self.acknowledged) and isinstance(error, Terminated):
            task_ready(self)
            return self.reject(requeue=True)
        if return_ok and not isinstance(error, Reject):
            # The run's own process has stored it.
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if not return_ok and isinstance(error, UNREADABLE):
            # Celery would acknowledge the message.
            exc_info = _rejection(error)
        task_ready(self)
        if isinstance(error, TimeLimitExceeded) and not return_ok:
            # It comes once more as a timeout; what follows a failure must not be sent twice.
            return None
        end = partial(super().on_failure, exc_info, send_failed_event, return_ok)
        self._end(partial(self._end_dead, error, end) if _goes_for_good(exc_info) else end)
        return None

    def _end(self, end: Callable[[], object]) -> None:
        """Store in the background how the run ended, and acknowledge only then."""

        def store() -> None:
            # Celery acknowledges some messages before, and what it then cannot store is lost.
            self._is_ending = True
            try:
                end()
            except Exception:
                known: Any = self
                if not getattr(known._context, ENDED, False):
                    raise
                logger.exception("What was to follow the end of a run has failed.")
                self._acknowledges_later = True
            finally:
                self._is_ending = False
            if self._acknowledges_later:
                self.acknowledge()

        _ends.do(store)

    def acknowledge(self) -> None:
        """Acknowledge the message, as soon as the end of the run is stored."""
        if self._is_ending:
            self._acknowledges_later = True
        else:
            super().acknowledge()

    def send_event(self, type: str, **fields: Any) -> None:
        """Send an event of Celery's, by the worker's own loop."""
        send = partial(super().send_event, type, **fields)
        loop = get_event_loop() if _ends.is_current() else None
        if loop:
            loop.call_soon(send)
        else:
            send()

    def _end_dead(self, error: Exception, end: Callable[[], object]) -> None:
        """Tell first that the run is dead: its message must not move before that is known."""
        known: Any = self
        mark_as_dead = getattr(known.task.backend, "mark_as_dead", None)
        if mark_as_dead:
            mark_as_dead(known.id, error, known._context)
        end()

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the run: by a signal to its process, or where its pool awaits it."""
        known: Any = self
        parent: Any = super()
        number = signals.signum(signal or TERM_SIGNAME)
        tell = partial(self._announce_revoked, "terminated", True, number, False)
        end_run = getattr(pool, "end_run", None)
        if end_run is None or not end_run(known.id, tell):
            parent.terminate(pool, signal)

    def take_back(self, message: Any, on_ack: Any, on_reject: Any) -> bool:
        """Take the message that was given out again while the run went on, unless it is another.

        What was to be acknowledged before belongs to a connection that is gone.
        """
        known: Any = self
        is_again = (message.delivery_info or {}).get("redelivered")
        is_same = attempt_of(Context(message.headers)) == attempt_of(known._context)
        if not is_again or self.acknowledged or not is_same:
            return False
        if isinstance(message.channel, Channel) and message.channel is known._message.channel:
            # RabbitMQ waits there for what it gave out first: a twin, sent again unconfirmed.
            return False
        known._message, known._on_ack, known._on_reject = message, on_ack, on_reject
        logger.warning("The message of run %s came again; it goes on.", known.id)
        return True

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Handle that the attempt takes too long."""
        if soft:
            super().on_timeout(soft, timeout)
        else:
            task_ready(self)
            self._end(partial(super().on_timeout, soft, timeout))

    def _announce_revoked(self, reason: str, *about: Any) -> None:
        known: Any = self
        parent: Any = super()
        # Whoever asks meanwhile must hear it.
        known._already_revoked = True
        task_ready(self)
        self._end(partial(parent._announce_revoked, reason, *about))


def _error_of(exc_info: Any) -> Any:
    error = exc_info.exception
    # What comes from a child process is wrapped together with its traceback.
    return getattr(error, "exc", error)


def _goes_for_good(exc_info: Any) -> bool:
    error = _error_of(exc_info)
    return isinstance(error, Reject) and not vars(error)["requeue"]


def _rejection(error: Exception) -> ExceptionInfo:
    try:
        raise Reject(error, requeue=False) from error
    except Reject:
        return ExceptionInfo()
