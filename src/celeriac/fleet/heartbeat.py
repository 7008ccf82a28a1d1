"""A worker tells of itself every few seconds, from a thread of its own.

On a Redis broker it also says there that it lives, so that nobody takes the messages it holds, and
looks after those of workers that are silent (see `celeriac.fleet.holder`). Whatever Redis does, the
worker's loop never waits for it; and a worker whose pool is `solo` gives signs of life even while
it executes a long run. The thread starts after the pool has forked its first processes, and holds
no lock that a process forked later would need.
"""

import atexit
import os
import threading
from typing import Any

import redis
from celery.bootsteps import StartStopStep
from celery.utils.log import get_logger

from celeriac import clock
from celeriac.fleet import BEAT_S, PAUSED_QUEUES
from celeriac.fleet.connection import connect_as
from celeriac.fleet.holder import Holder
from celeriac.fleet.record import Worker, WorkerState, write_worker
from celeriac.fleet.snapshot import farewell, snapshot
from celeriac.redis_client import TIMEOUT_S

log = get_logger(__name__)


class Heartbeat(StartStopStep):
    """Celery's way to run something along with a worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, controller: Any, **kwargs: Any) -> None:
        super().__init__(controller, **kwargs)
        self.pulse: Pulse | None = None
        # Before the worker connects to the broker, since its connections bear the name.
        self._holder = Holder.of(controller)

    def start(self, controller: Any) -> None:
        """Begin to tell, when the pool has started."""
        self.pulse = Pulse(controller, self._holder)
        self.pulse.start()
        atexit.register(self.pulse.finish)

    def close(self, controller: Any) -> None:
        """Tell that the worker finishes what it executes and takes no more."""
        if self.pulse:
            self.pulse.tell(WorkerState.STOPPING)


class Pulse(threading.Thread):
    """Writes the worker's record again and again until the worker has ended."""

    def __init__(self, controller: Any, holder: Holder | None) -> None:
        super().__init__(name="celeriac-heartbeat", daemon=True)
        self._controller = controller
        self._holder = holder
        self._redis = connect_as(controller.app)
        self._state = WorkerState.ONLINE
        self._last: Worker | None = None
        self._has_news = threading.Event()
        self._is_over = False
        self._is_silent = False
        self._pid = os.getpid()

    def run(self) -> None:
        """Tell every few seconds, and at the end that this is the end."""
        while not self._has_ended():
            if self._holder:
                self._holder.beat()
            self._beat()
            self._has_news.wait(BEAT_S)
            self._has_news.clear()
        self._state = WorkerState.OFFLINE
        if self._holder:
            self._holder.end()
        self._beat()
        self._redis.close()

    def tell(self, state: WorkerState) -> None:
        """Tell of another state at once."""
        self._state = state
        self._has_news.set()

    def finish(self) -> None:
        """Say goodbye when the process ends; a child of it has nothing to say."""
        if os.getpid() == self._pid:
            self._is_over = True
            self._has_news.set()
            self.join(3 * TIMEOUT_S)

    def _has_ended(self) -> bool:
        return self._is_over or self._controller.blueprint.shutdown_complete.is_set()

    def _beat(self) -> None:
        """Write the record, and follow what was paused or resumed meanwhile."""
        try:
            paused = self._told()
        except (redis.RedisError, OSError) as error:
            self._note(error)
        except Exception:
            # A sign of life must not end with one value that Celery keeps elsewhere today.
            log.exception("The worker cannot tell of itself.")
        else:
            self._note(None)
            self._follow(paused)

    def _told(self) -> set[str]:
        if self._state is WorkerState.OFFLINE and self._last:
            record = farewell(self._last)
        else:
            record = self._last = snapshot(self._controller, self._state)
        seconds, microseconds = self._redis.time()
        now_s = seconds + microseconds / 1e6
        clock.measured(now_s)
        with self._redis.pipeline() as pipe:
            write_worker(pipe, record, now_s)
            pipe.smembers(PAUSED_QUEUES)
            return {name.decode() for name in pipe.execute()[-1]}

    def _follow(self, paused: set[str]) -> None:
        consumer = getattr(self._controller, "consumer", None)
        follow = getattr(consumer, "follow_pauses", None)
        if follow and self._state is WorkerState.ONLINE:
            follow(paused)

    def _note(self, error: Exception | None) -> None:
        """Log that Redis went away, or came back, once each."""
        if error and not self._is_silent:
            log.warning("Redis does not take this worker's heartbeat (%s); trying again.", error)
        elif self._is_silent and not error:
            log.info("Redis takes this worker's heartbeat again.")
        self._is_silent = error is not None
