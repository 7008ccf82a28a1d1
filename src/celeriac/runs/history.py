"""The history as people see it: every run that was ever recorded, as `Run`."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Self

from celeriac.errors import HistoryUnavailableError
from celeriac.history import (
    AttemptRow,
    FailureGroup,
    History,
    LogRow,
    Names,
    RunCount,
    RunFilter,
    Statistics,
)
from celeriac.runs.run import Run, RunList, run_of
from celeriac.settings import Settings


class RunHistory:
    """Reads the history and forgets what is old.

    Every method raises HistoryUnavailableError while the database is away.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Open the history alone, which needs neither broker nor Redis nor tasks.

        Raises:
            ConfigurationError: its address is wrong.
        """
        return cls(History(settings.history_address))

    def find(self, wanted: RunFilter, cursor: str | None = None, limit: int = 50) -> RunList:
        """Give a page of runs, newest first.

        Raises:
            InvalidInputError: the cursor is none.
        """
        page = self._history.find(wanted, cursor, limit)
        return RunList(runs=[run_of(row) for row in page.runs], next_cursor=page.next_cursor)

    def count(self, wanted: RunFilter, cap: int = 10_000) -> RunCount:
        """Count runs, no further than the cap."""
        return self._history.count(wanted, cap)

    def get(self, run_id: str) -> Run | None:
        """Give a run, or None where it is not recorded."""
        row = self._history.get(run_id)
        return run_of(row) if row else None

    def get_or_none(self, run_id: str) -> Run | None:
        """Give a run, or None where it is not recorded or the history cannot tell for now."""
        with suppress(HistoryUnavailableError):
            return self.get(run_id)
        return None

    def children(self, run_id: str, cursor: str | None = None, limit: int = 50) -> RunList:
        """Give a page of the runs that this one has started, newest first."""
        return self.find(RunFilter(parent_id=run_id), cursor, limit)

    def resubmissions(self, run_id: str, limit: int = 50) -> RunList:
        """Give the runs that were submitted again from this one, newest first."""
        return self.find(RunFilter(resubmit_of=run_id), limit=limit)

    def attempts(self, run_id: str) -> tuple[AttemptRow, ...]:
        """Give the run's attempts as far as they are recorded, the first one first."""
        return self._history.attempts(run_id)

    def logs(self, run_id: str, after: int | None = None, limit: int = 1000) -> list[LogRow]:
        """Give the recorded lines of a run, the oldest first, from behind the line `after`."""
        return self._history.logs(run_id, after, limit)

    def stats(self, since: datetime, until: datetime, buckets: int = 60) -> Statistics:
        """Give counts and durations over time, in about this many buckets of whole slots."""
        return self._history.stats(since, until, buckets)

    def failures(self, since: datetime, limit: int = 20) -> list[FailureGroup]:
        """Give the failures since then in groups that look the same, the newest first."""
        return self._history.failures(since, limit)

    def export(self, wanted: RunFilter) -> Iterator[str]:
        """Give runs as NDJSON lines, newest first, in constant memory."""
        return self._history.export(wanted)

    def prune(self, days: int | None = None, keep: int | None = None) -> Iterator[int]:
        """Remove the runs that are older, and of the rest all but the newest `keep` that ended.

        Goes batch by batch, as long as it is asked for the next; gives how many are gone so far.
        """
        older_than = None if days is None else datetime.now(UTC) - timedelta(days=days)
        return (progress.removed for progress in self._history.prune(older_than, keep))

    def close(self) -> None:
        """Close all connections; using it again opens new ones."""
        self._history.close()

    def names(self) -> Names:
        """Give the tasks, queues, workers and tags that the history knows."""
        return self._history.names()
