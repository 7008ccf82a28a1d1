"""How a worker stops: it takes nothing more, finishes what it executes, and hands back the rest.

Celery waits for ever for what is executed, hands back only at its end what it has fetched ahead,
and its cold shutdown fails a run of the solo pool. Here the first SIGTERM or SIGINT begins a time
of grace, `CELERIAC_STOP_GRACE_S`. A second one, SIGQUIT, or the end of that time has what is still
executed handed back; a third does not wait even for that. Whatever hangs, the process ends.
"""

import _thread
import os
import signal
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from celery import platforms
from celery.app.task import Context
from celery.bootsteps import StartStopStep
from celery.concurrency import solo
from celery.exceptions import WorkerTerminate
from celery.platforms import EX_FAILURE, EX_OK
from celery.utils.log import get_logger
from celery.worker import state
from kombu.common import ignore_errors

from celeriac.backend import RunBackend
from celeriac.changes import take_back_starts
from celeriac.grace import grace
from celeriac.replays import attempt_of

END_WITHIN_S = 15.0
"""How long the end of a process may take when its grace is over."""
LOOK_EVERY_S = 0.1
FORGIVE_WITHIN_S = 1.0

log = get_logger(__name__)


class Stopping(StartStopStep):
    """Celery's way to have a part in the start and the stop of a worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, controller: Any, **kwargs: Any) -> None:
        super().__init__(controller, **kwargs)
        self._controller = controller
        self._grace_s = controller.app.conf.celeriac_stop_grace_s
        self._pid = os.getpid()
        self._stop_warmly: Any = None

    def start(self, controller: Any) -> None:
        """Take the signals over from Celery, which may have got one already."""
        self._stop_warmly = signal.getsignal(signal.SIGTERM)
        for name in ("SIGTERM", "SIGINT", "SIGQUIT"):
            platforms.signals[name] = self._on_signal
        grace.end_running = partial(end_running, controller.pool)
        if vars(state)["should_stop"] is not None:
            self._begin()

    def close(self, controller: Any) -> None:
        """Take nothing more, and hand back at once what is not executed."""
        consumer = getattr(controller, "consumer", None)
        if consumer is not None and consumer.task_consumer is not None:
            take_no_more(consumer)
            hand_back(_not_begun(consumer, controller.pool))

    def _on_signal(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:
            return  # A child that has no handlers of its own yet.
        if number != signal.SIGQUIT and not grace.has_begun:
            self._stop_warmly(number, frame)
            self._begin()
        else:
            self._hasten(number, frame)

    def _begin(self) -> None:
        """Begin the time of grace; a thread without locks, since this may interrupt anything."""
        if not grace.has_begun:
            grace.begin()
            _thread.start_new_thread(self._watch, ())

    def _hasten(self, number: int, frame: Any) -> None:
        if vars(state)["should_stop"] is None:
            self._stop_warmly(number, frame)
        self._begin()
        if not grace.is_over:
            self._forgive_starts()
        grace.hasten()
        if isinstance(self._controller.pool, solo.TaskPool) and state.active_requests:
            # The run is executed by this very thread, below us. Its message goes back.
            raise WorkerTerminate(EX_OK)

    def _forgive_starts(self) -> None:
        """Take back that what is handed back was started, as far as Redis answers at once.

        A thread does so, since this may interrupt who has the lock of a connection to Redis.
        """
        done = _thread.allocate_lock()
        done.acquire()

        def forgive() -> None:
            try:
                forgive_starts(self._controller.app)
            except Exception as error:
                log.debug("Starts of what is handed back stay counted: %r", error)
            finally:
                done.release()

        _thread.start_new_thread(forgive, ())
        done.acquire(timeout=FORGIVE_WITHIN_S)

    def _watch(self) -> None:
        """See to it that the time of grace ends, and the process too."""
        until_s = time.monotonic() + self._grace_s
        while time.monotonic() < until_s and not grace.is_over:
            time.sleep(LOOK_EVERY_S)
        if not grace.is_over:
            os.kill(self._pid, signal.SIGQUIT)
        time.sleep(END_WITHIN_S)
        # Whoever hangs may hold the lock of the log.
        os.write(2, b"The worker ends at once, since something hangs; the broker has its runs.\n")
        os._exit(EX_FAILURE)


def forgive_starts(app: Any) -> None:
    """Let no attempt come nearer to its limit of starts because its worker stops.

    Raises:
        redis.RedisError
    """
    if isinstance(app.backend, RunBackend):
        running = [
            request
            for request in tuple(state.active_requests)
            if request.task.acks_late and not request.acknowledged
        ]
        attempts = {each.id: attempt_of(Context(each.request_dict)) for each in running}
        take_back_starts(app.backend.client, attempts)


def take_no_more(consumer: Any) -> None:
    """Cancel a worker's consumer; what is on its way here goes back."""
    consumer.task_consumer.on_message = _give_back
    ignore_errors(consumer, consumer.task_consumer.cancel)


def hand_back(requests: Iterable[Any]) -> None:
    """Give requests that were not begun back to the broker, for another worker to take at once."""
    count = 0
    for request in requests:
        if not request.acknowledged:
            request.acknowledged = True
            _give_back(request.message)
            count += 1
        state.task_ready(request)
    if count:
        log.info("Handed back what was not begun: %d", count)


def end_running(pool: Any) -> None:
    """End the processes that execute runs; their messages stay unacknowledged, and so go back."""
    for request in tuple(state.active_requests):
        if request.task.acks_late and not request.acknowledged:
            request.cancel(pool, emit_retry=False)
        else:
            # Nobody will deliver it again: people see that it was ended.
            pool.terminate_job(request.worker_pid)


def _not_begun(consumer: Any, pool: Any) -> list[Any]:
    begun = pool.forget_waiting() if hasattr(pool, "forget_waiting") else set()
    begun |= {request.id for request in tuple(state.active_requests)}
    known = vars(state)
    buckets = filter(None, consumer.task_buckets.values())
    limited = {request for bucket in buckets for request, _ in bucket.contents}
    reserved = {*known["reserved_requests"], *known["scheduled_requests"], *limited}
    return [request for request in reserved if request.id not in begun]


def _give_back(message: Any) -> None:
    """Requeue a message; on a Redis broker to where it came from, not behind all others."""
    qos: Any = getattr(message.channel, "qos", None)
    if hasattr(qos, "give_back"):
        qos.give_back(message.delivery_tag)
        message._state = "REQUEUED"
    else:
        try:
            message.requeue()
        except Exception as error:  # The broker is away, and has the message.
            log.debug("A message could not be handed back: %r", error)
