"""Everything at a glance, for the home page and `celeriac top`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from celeriac.errors import ResultsUnavailableError
from celeriac.fleet.record import Worker
from celeriac.history import RunFilter
from celeriac.lag import RecorderLag
from celeriac.runs.history import RunHistory
from celeriac.runs.parts import ANSWER_WITHIN_S, Part, Parts, answered
from celeriac.runs.queues import Queue, Queues
from celeriac.runs.run import Run, RunState
from celeriac.runs.statistics import Failure, FailureList, Stats, check_range
from celeriac.runs.workers import Workers

MOST_RUNNING = 6
MOST_FAILURES = 6
MOST_COUNTED = 1000
LETTERS_GOOD_FOR_S = 5.0
PAST_GOOD_FOR_S = 15.0
"""What is over changes only by what is recorded late."""


@dataclass(frozen=True)
class Span:
    """A range of time up to now, in buckets whose borders are the same whenever one looks."""

    name: str
    words: str
    bucket: timedelta
    number: int

    @property
    def length(self) -> timedelta:
        """Give how long it is."""
        return self.bucket * self.number

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Give its begin and its end, the end of the bucket that has begun."""
        bucket_s = self.bucket.total_seconds()
        until = datetime.fromtimestamp((now.timestamp() // bucket_s + 1) * bucket_s, UTC)
        return until - self.length, until


def _span(name: str, words: str, bucket_min: int, number: int) -> Span:
    return Span(name, words, timedelta(minutes=bucket_min), number)


SPANS: Final = {
    span.name: span
    for span in (
        _span("15m", "15 minutes", 1, 15),
        _span("1h", "hour", 1, 60),
        _span("6h", "6 hours", 5, 72),
        _span("24h", "24 hours", 15, 96),
        _span("7d", "7 days", 120, 84),
        _span("30d", "30 days", 360, 120),
    )
}
USUAL_SPAN: Final = SPANS["1h"]


@dataclass(frozen=True)
class Running:
    """The newest runs that execute now, and how many there are in all, up to a cap."""

    runs: tuple[Run, ...]
    total: int
    is_capped: bool


@dataclass(frozen=True)
class Glance:
    """What there is to see now, part by part; a part that is missing says why.

    `before` covers the time of the same length before it, `is_fresh` says that no run is known.
    """

    span: Span
    since: datetime
    until: datetime
    stats: Part[Stats]
    before: Part[Stats]
    running: Part[Running]
    failures: Part[list[Failure]]
    queues: Part[list[Queue]]
    workers: Part[list[Worker]]
    lag: Part[RecorderLag]
    letters: Part[int] = field(default_factory=Part)
    """How many dead letters wait for somebody."""
    is_fresh: bool = False


class Overview:
    """Looks at all parts at once and waits for none of them longer than a second."""

    def __init__(
        self,
        history: RunHistory,
        queues: Queues,
        workers: Workers,
        recorder_lag: Callable[[], RecorderLag],
        letters: Callable[[], int],
    ) -> None:
        self._history = history
        self._queues = queues
        self._workers = workers
        self._recorder_lag = recorder_lag
        self._letters = letters
        self._parts = Parts()

    def look(self, span: Span = USUAL_SPAN, now: datetime | None = None) -> Glance:
        """Look now. What is away is missing; nothing of ours is raised."""
        until_s = time.monotonic() + ANSWER_WITHIN_S
        since, until = span.bounds(now or datetime.now(UTC))
        ask = self._parts.ask
        stats = ask(("stats", since, until), lambda: self._stats(since, until, span))
        earlier = since - span.length
        before = ask(
            ("stats", earlier, since), lambda: self._stats(earlier, since, span), PAST_GOOD_FOR_S
        )
        running = ask("running", self._running)
        failures = ask(("failures", since), lambda: self._failures(since))
        queues = ask("queues", self._queues.all)
        workers = ask("workers", self._workers.all)
        lag = ask("lag", self._recorder_lag)
        letters = ask("letters", self._letters, LETTERS_GOOD_FOR_S)
        is_fresh = ask("fresh", self._is_fresh)
        return Glance(
            span=span,
            since=since,
            until=until,
            stats=answered(stats, until_s),
            before=answered(before, until_s),
            running=answered(running, until_s),
            failures=answered(failures, until_s),
            queues=answered(queues, until_s),
            workers=answered(workers, until_s),
            lag=answered(lag, until_s),
            letters=answered(letters, until_s),
            is_fresh=bool(answered(is_fresh, until_s).value),
        )

    def stats(self, since: datetime, until: datetime, buckets: int = 60) -> Stats:
        """Count what happened in this time, and tell how far the history is behind.

        Raises:
            InvalidInputError: the time ends before it begins.
            HistoryUnavailableError
        """
        check_range(since, until)
        found = self._history.stats(since, until, buckets)
        try:
            lag = self._recorder_lag()
        except ResultsUnavailableError:
            lag = None
        return Stats.of(found, until, lag)

    def _stats(self, since: datetime, until: datetime, span: Span) -> Stats:
        return Stats.of(self._history.stats(since, until, span.number), until, None)

    def _running(self) -> Running:
        wanted = RunFilter(states=(RunState.STARTED,))
        found = self._history.find(wanted, limit=MOST_RUNNING)
        if found.next_cursor is None:
            return Running(tuple(found.runs), len(found.runs), is_capped=False)
        count = self._history.count(wanted, MOST_COUNTED)
        return Running(tuple(found.runs), count.total, count.capped)

    def _failures(self, since: datetime) -> list[Failure]:
        return FailureList.of(self._history.failures(since, MOST_FAILURES)).failures

    def _is_fresh(self) -> bool:
        return not self._history.find(RunFilter(), limit=1).runs
