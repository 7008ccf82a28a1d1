"""The queues: what waits in them, who consumes them, and holding one back."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import redis
from celery import Celery
from pydantic import BaseModel, ConfigDict, Field

from celeriac.catalog import Catalog
from celeriac.errors import (
    HistoryUnavailableError,
    UnknownQueueError,
)
from celeriac.fleet import LOOK_AT_PAUSES, PAUSED_QUEUES
from celeriac.fleet.record import Worker
from celeriac.history import History
from celeriac.queues import names_of
from celeriac.redis_client import connect, redis_errors
from celeriac.runs.definitions import QueueDefinitions
from celeriac.runs.depths import Depth, Depths
from celeriac.runs.purge import WITHIN_S, Purged, Purger
from celeriac.runs.sending import PASSING
from celeriac.runs.store import RunStore
from celeriac.runs.workers import Workers

COMPARED_MAX = 20_000
"""Counting the runs that wait in a queue further than this would take longer than a page may."""


class Queue(BaseModel):
    """One queue; what cannot be known, or is not known for now, is null."""

    model_config = ConfigDict(frozen=True)

    name: str
    ready: int | None = Field(None, description="Messages that wait for a worker.")
    surplus: int | None = Field(
        None,
        description="How many more messages wait than runs: those of cancelled runs, which a "
        "worker drops when it comes to them, and of runs that the history does not know yet.",
    )
    taken: int | None = Field(
        None, description="Messages that workers hold: executed, or fetched ahead."
    )
    running: int | None = Field(None, description="Runs of it that workers execute.")
    consumers: int | None = Field(None, description="Workers that take messages from it.")
    paused: bool | None = Field(None, description="Whether workers leave it alone.")
    workers: list[str] = Field([], description="Workers that consume it, or would if not paused.")
    tasks: list[str] = Field([], description="Tasks that are routed to it.")
    oldest_waiting_at: datetime | None = Field(
        None, description="From when the run waits that waits longest; until its ETA it is held."
    )


@dataclass(frozen=True)
class _Seen:
    """The queues' names, and what is known of workers and pauses; None while Redis is away."""

    names: list[str]
    workers: Sequence[Worker] | None
    paused: set[str] | None

    def check(self, name: str) -> None:
        """Refuse a name that no queue has.

        Raises:
            UnknownQueueError: the error names similar ones.
        """
        if name not in self.names:
            raise UnknownQueueError(name, difflib.get_close_matches(name, self.names, n=3))

    @cached_property
    def running(self) -> Counter[str | None]:
        """Count the runs that workers execute, queue by queue."""
        return Counter(run.queue for worker in self.workers or () for run in worker.active)


class Queues:
    """Every queue that tasks go to, that submissions may name or that a worker consumes."""

    def __init__(
        self,
        app: Celery,
        catalog: Catalog,
        extra_queues: tuple[str, ...],
        redis_url: str,
        workers: Workers,
        history: History,
        store: RunStore,
    ) -> None:
        self._app = app
        self._catalog = catalog
        self._extra_queues = extra_queues
        self._redis = connect(redis_url)
        self._workers = workers
        self._history = history
        self._depths = Depths(app)
        self._purger = Purger(app, store)
        self.definitions = QueueDefinitions(app, catalog, extra_queues)

    def all(self) -> list[Queue]:
        """Give the queues by name, with what is known; never raises when something is away."""
        seen = self._look()
        return self._told(seen.names, seen)

    def get(self, name: str) -> Queue:
        """Find a queue by its exact name.

        Raises:
            UnknownQueueError: there is none; the error names similar ones.
        """
        seen = self._look()
        seen.check(name)
        return self._told([name], seen)[0]

    def check(self, name: str) -> None:
        """Refuse a name that no queue has; asks neither broker nor history.

        Raises:
            UnknownQueueError: the error names similar ones.
        """
        self._look().check(name)

    def pause(self, name: str) -> Queue:
        """Let no worker take more from a queue, now and after any restart, until it is resumed.

        What waits stays; what workers have fetched already is finished.

        Raises:
            UnknownQueueError
            ResultsUnavailableError: it was not paused.
        """
        self.check(name)
        with redis_errors():
            self._redis.sadd(PAUSED_QUEUES, name)
        self._have_workers_look()
        return self.get(name)

    def resume(self, name: str) -> Queue:
        """Let workers consume a queue again, those that did before.

        Raises:
            UnknownQueueError
            ResultsUnavailableError: it was not resumed.
        """
        self.check(name)
        with redis_errors():
            self._redis.srem(PAUSED_QUEUES, name)
        self._have_workers_look()
        return self.get(name)

    def _have_workers_look(self) -> None:
        """Tell workers of a change; they compare every few seconds, so this only is quicker."""
        with suppress(*PASSING):
            self._app.control.broadcast(LOOK_AT_PAUSES)

    def purge(self, name: str, most: int | None = None, within_s: float = WITHIN_S) -> Purged:
        """Drop what waits in a queue for about so long, `most` so many; its runs end as REVOKED.

        What it had no time for is `left`. Who goes on with `most` of what is left and kept never
        drops what came into the queue since the beginning.

        Raises:
            UnknownQueueError
            BrokerUnavailableError, ResultsUnavailableError: part of it may have been dropped.
        """
        self.check(name)
        return self._purger.purge(name, most, within_s)

    def _look(self) -> "_Seen":
        workers = self._workers.all_or_none()
        alive = None if workers is None else [each for each in workers if each.state.is_alive]
        paused = self._paused_or_none()
        return _Seen(self._names(alive or [], paused or set()), alive, paused)

    def _told(self, names: Sequence[str], seen: "_Seen") -> list[Queue]:
        # The depths of all are asked for: they are kept for whoever asks about another.
        depths = self._depths.of(seen.names)
        ready = {name: depths[name].ready for name in names} if depths else {}
        waiting = self._oldest_waiting([name for name, number in ready.items() if number])
        surplus = self._surplus(ready)
        return [
            _queue(name, depths, seen, self._catalog, waiting, surplus.get(name)) for name in names
        ]

    def _paused_or_none(self) -> set[str] | None:
        try:
            return {name.decode() for name in self._redis.smembers(PAUSED_QUEUES)}
        except redis.RedisError:
            return None

    def _names(self, workers: Sequence[Worker], paused: set[str]) -> list[str]:
        consumed = {name for worker in workers for name in (*worker.queues, *worker.paused)}
        declared = names_of(list(self._app.amqp.queues.values()))
        declared |= self._catalog.queues | set(self._extra_queues)
        return sorted(declared | consumed | paused)

    def _surplus(self, ready: Mapping[str, int]) -> Mapping[str, int]:
        """Give how many of these messages are of no run that waits, in queues where it is few."""
        few = {name: number for name, number in ready.items() if number <= COMPARED_MAX}
        try:
            runs = self._history.count_waiting({name: n for name, n in few.items() if n})
        except HistoryUnavailableError:
            return {}
        return {name: max(0, number - runs.get(name, 0)) for name, number in few.items()}

    def _oldest_waiting(self, names: Sequence[str]) -> Mapping[str, datetime]:
        try:
            return self._history.oldest_waiting(names)
        except HistoryUnavailableError:
            return {}


def _ready(depths: Mapping[str, Depth] | None, name: str) -> int | None:
    return depths[name].ready if depths else None


def _queue(
    name: str,
    depths: Mapping[str, Depth] | None,
    seen: _Seen,
    catalog: Catalog,
    waiting: Mapping[str, datetime],
    surplus: int | None,
) -> Queue:
    workers, paused = seen.workers, seen.paused
    theirs = None if workers is None else [w for w in workers if name in (*w.queues, *w.paused)]
    counted = depths[name].consumers if depths else None
    consuming = None if theirs is None else sum(name in worker.queues for worker in theirs)
    return Queue(
        name=name,
        ready=_ready(depths, name),
        surplus=surplus,
        taken=None if workers is None else sum(w.taken.get(name, 0) for w in workers),
        running=None if workers is None else seen.running[name],
        consumers=consuming if counted is None else counted,
        paused=None if paused is None else name in paused,
        workers=[worker.name for worker in theirs or []],
        tasks=[task.name for task in catalog.tasks if task.queue == name],
        oldest_waiting_at=waiting.get(name),
    )
