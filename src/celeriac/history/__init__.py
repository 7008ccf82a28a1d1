"""The history: every run in SQL, searchable, kept after Redis has forgotten it."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select

from celeriac.events import Event
from celeriac.history import failures, names, queries, recording, retention, statistics
from celeriac.history.database import Database
from celeriac.history.failures import FailureGroup
from celeriac.history.filters import RunFilter
from celeriac.history.instants import instant
from celeriac.history.migrating import migrate
from celeriac.history.names import Names
from celeriac.history.pages import Place, RunCount, RunPage, cursor, place_of
from celeriac.history.record import Record, attempt_rows, run_row
from celeriac.history.retention import PruneProgress
from celeriac.history.row import AttemptRow, ErrorRow, LogLine, ProgressRow, RunRow
from celeriac.history.statistics import Bucket, Statistics
from celeriac.history.tables import run_logs

__all__ = [
    "AttemptRow",
    "Bucket",
    "ErrorRow",
    "FailureGroup",
    "History",
    "LogLine",
    "Names",
    "ProgressRow",
    "PruneProgress",
    "RunCount",
    "RunFilter",
    "RunPage",
    "RunRow",
    "Statistics",
]

PAGE = 50
LONGEST_PAGE = 1000
EXPORT_PAGE = 200
LOG_LINES_KEPT = 1000


class History:
    """The record of all runs in SQLite (a file) or PostgreSQL; threads may share it.

    It connects when it is first used, and holds nothing that a fork would break before that.
    Every method can raise HistoryUnavailableError; what was begun is undone then.

    Raises:
        ConfigurationError: the address is wrong.
    """

    def __init__(
        self, url: str, *, log_lines_kept: int = LOG_LINES_KEPT, wait_s: float = 5
    ) -> None:
        self.database = Database(url, wait_s)
        self._log_lines_kept = log_lines_kept

    def migrate(self) -> None:
        """Make or update the tables; quick when there is nothing to do, safe in any process.

        Raises:
            ConfigurationError: the file cannot be made, or a newer version made the tables.
        """
        migrate(self.database)

    def close(self) -> None:
        """Close all connections; using it again opens new ones."""
        self.database.close()

    def apply(self, events: Sequence[Event]) -> None:
        """Record the events, all or none of them.

        Replays change nothing and late events never move a run back. Memory is bounded by the
        events given and the runs that they are about.
        """
        if events:
            with self.database.write() as connection:
                recording.record(connection, events, self._log_lines_kept)

    def find(
        self, wanted: RunFilter | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> RunPage:
        """Give a page of runs, newest first, at most 1,000.

        Raises:
            InvalidInputError: the cursor is none (`/cursor`).
        """
        after = place_of(cursor) if cursor else None
        return self._page(wanted or RunFilter(), after, max(1, min(limit, LONGEST_PAGE)))

    def count(self, wanted: RunFilter | None = None, cap: int = 10_000) -> RunCount:
        """Count the runs, up to the cap."""
        with self.database.read() as connection:
            query = queries.count(wanted or RunFilter(), cap, self.database.dialect)
            total = connection.scalar(query) or 0
        return RunCount(min(total, cap), total > cap)

    def get(self, run_id: str) -> RunRow | None:
        """Give a run, or None."""
        found = self._rows(queries.record_of(run_id))
        return found[0] if found else None

    def children(self, run_id: str, limit: int = PAGE) -> tuple[RunRow, ...]:
        """Give the runs that this one has started, newest first."""
        return self.find(RunFilter(parent_id=run_id), limit=limit).runs

    def resubmissions(self, run_id: str, limit: int = PAGE) -> tuple[RunRow, ...]:
        """Give the runs that were submitted again from this one, newest first."""
        return self.find(RunFilter(resubmit_of=run_id), limit=limit).runs

    def attempts(self, run_id: str) -> tuple[AttemptRow, ...]:
        """Give the run's attempts, the first one first."""
        found = self._records(queries.record_of(run_id))
        return attempt_rows(found[0]) if found else ()

    def logs(self, run_id: str, after: int | None = None, limit: int = 1000) -> list[LogLine]:
        """Give the lines that the run logged, the oldest first, from behind the line `after`.

        Of a run that logs much, the newest are kept (`log_lines_kept`).
        """
        query = select(run_logs).where(run_logs.c.run_id == run_id)
        if after is not None:
            query = query.where(run_logs.c.seq > after)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(run_logs.c.seq).limit(limit))
            return [LogLine(r.seq, instant(r.at), r.level, r.logger, r.text) for r in rows]

    def stats(self, since: datetime, until: datetime, buckets: int = 60) -> Statistics:
        """Give counts and durations over time, in about this many buckets of whole minutes."""
        with self.database.read() as connection:
            return statistics.statistics(connection, since, until, buckets)

    def failures(self, since: datetime, limit: int = 20) -> list[FailureGroup]:
        """Give the failures since then in groups that look the same, the newest first."""
        with self.database.read() as connection:
            return failures.failures(connection, since, limit)

    def names(self) -> Names:
        """Give the distinct tasks, queues, workers and tags."""
        with self.database.read() as connection:
            return names.names(connection)

    def prune(
        self, older_than: datetime | None = None, keep_newest: int | None = None
    ) -> Iterator[PruneProgress]:
        """Remove old runs batch by batch, as long as the result is asked for the next."""
        return retention.prune(self.database, older_than, keep_newest)

    def export(self, wanted: RunFilter | None = None) -> Iterator[str]:
        """Give the runs as NDJSON lines, newest first, with a page in memory at a time."""
        after: Place | None = None
        bounded = (wanted or RunFilter()).bounded()
        while True:
            page = self._page(bounded, after, EXPORT_PAGE)
            for row in page.runs:
                yield json.dumps(row.as_json(), ensure_ascii=False) + "\n"
            if page.next_cursor is None:
                return
            after = place_of(page.next_cursor)

    def _page(self, wanted: RunFilter, after: Place | None, limit: int) -> RunPage:
        query = queries.page(wanted, after, limit + 1, self.database.dialect)
        found = self._records(query)
        shown = found[:limit]
        more = len(found) > limit
        last = Place(shown[-1].created_at, shown[-1].id) if more else None
        now = datetime.now(UTC)
        rows = tuple(run_row(record, now) for record in shown)
        return RunPage(rows, cursor(last) if last else None)

    def _rows(self, query: Select[Any]) -> list[RunRow]:
        now = datetime.now(UTC)
        return [run_row(record, now) for record in self._records(query)]

    def _records(self, query: Select[Any]) -> list[Record]:
        with self.database.read() as connection:
            return [Record._make(row) for row in connection.execute(query)]
