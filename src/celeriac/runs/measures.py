"""What a monitor asks for: how much waits, for how long, who works and what fails, as of now."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac.fleet.record import Worker
from celeriac.lag import RecorderLag
from celeriac.runs.history import RunHistory
from celeriac.runs.parts import Part, Parts, answered
from celeriac.runs.queues import Queue, Queues
from celeriac.runs.statistics import StatsBucket
from celeriac.runs.workers import Workers

ANSWER_WITHIN_S = 5.0
"""Monitors wait longer than people."""
RECENT = timedelta(minutes=5)


@dataclass(frozen=True)
class Measures:
    """Everything in numbers; a part that is missing says why.

    `recent` counts what happened in whole minutes that cover the last five.
    """

    recent: Part[StatsBucket]
    queues: Part[list[Queue]]
    workers: Part[list[Worker]]
    letters: Part[Mapping[str, int]]
    lag: Part[RecorderLag]


class Measurer:
    """Asks for all parts at once; what is away delays nobody for long."""

    def __init__(
        self,
        history: RunHistory,
        queues: Queues,
        workers: Workers,
        letters: Callable[[], Mapping[str, int]],
        lag: Callable[[], RecorderLag],
    ) -> None:
        self._history = history
        self._queues = queues
        self._workers = workers
        self._letters = letters
        self._lag = lag
        self._parts = Parts()

    def measure(self) -> Measures:
        """Measure now; nothing of ours is raised."""
        until_s = time.monotonic() + ANSWER_WITHIN_S
        recent = self._parts.ask("recent", self._recent)
        queues = self._parts.ask("queues", self._queues.all)
        workers = self._parts.ask("workers", self._workers.all)
        letters = self._parts.ask("letters", self._letters)
        lag = self._parts.ask("lag", self._lag)
        return Measures(
            recent=answered(recent, until_s),
            queues=answered(queues, until_s),
            workers=answered(workers, until_s),
            letters=answered(letters, until_s),
            lag=answered(lag, until_s),
        )

    def _recent(self) -> StatsBucket:
        now = datetime.now(UTC)
        return StatsBucket.model_validate(self._history.stats(now - RECENT, now, 1).total)
