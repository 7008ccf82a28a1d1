"""The history: every run in SQL, searchable, kept after Redis has forgotten it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.events import Event
from celeriac.history import failures, names, queries, recording, retention, statistics, waiting
from celeriac.history.database import Database
from celeriac.history.failures import FailureGroup
from celeriac.history.filters import RunFilter
from celeriac.history.instants import instant
from celeriac.history.lines import entry_id_of, line_of, number_of
from celeriac.history.names import Names
from celeriac.history.pages import Place, RunCount, RunPage, cursor, place_of
from celeriac.history.record import Record, attempt_rows, run_row
from celeriac.history.retention import PruneProgress
from celeriac.history.row import AttemptRow, ErrorRow, LogRow, ProgressRow, RunRow
from celeriac.history.statistics import Bucket, Statistics
from celeriac.history.tables import run_logs

__all__ = [
    "AttemptRow",
    "Bucket",
    "ErrorRow",
    "FailureGroup",
    "History",
    "LogRow",
    "Names",
    "ProgressRow",
    "PruneProgress",
    "RunCount",
    "RunFilter",
    "RunPage",
    "RunRow",
    "Statistics",
    "entry_id_of",
    "line_of",
    "number_of",
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
        self._is_made = False

    def migrate(self) -> None:
        """Make or update the tables; quick when there is nothing to do, safe in any process.

        Raises:
            ConfigurationError: the file cannot be made, or a newer version made the tables.
        """
        # Alembic takes a tenth of a second to import, and few processes need it.
        from celeriac.history.migrating import migrate

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
        with self._read() as connection:
            query = queries.count(wanted or RunFilter(), cap, self.database.dialect)
            total = connection.scalar(query) or 0
        return RunCount(min(total, cap), total > cap)

    def ids(self, wanted: RunFilter, batch: int = EXPORT_PAGE) -> Iterator[list[str]]:
        """Give the runs' identifiers, newest first, with a batch in memory at a time."""
        after: Place | None = None
        bounded = wanted.bounded()
        while True:
            query = queries.keys(bounded, after, batch, self.database.dialect)
            with self._read() as connection:
                places = [Place(*row) for row in connection.execute(query)]
            if places:
                yield [place.id for place in places]
            if len(places) < batch:
                return
            after = places[-1]

    def resubmitted(self, run_ids: Sequence[str]) -> set[str]:
        """Give those of the runs that were submitted again."""
        with self._read() as connection:
            return set(connection.scalars(queries.resubmitted(run_ids)))

    def get(self, run_id: str) -> RunRow | None:
        """Give a run, or None."""
        found = self._rows(queries.record_of(run_id))
        return found[0] if found else None

    def attempts(self, run_id: str) -> tuple[AttemptRow, ...]:
        """Give the run's attempts, the first one first."""
        found = self._records(queries.record_of(run_id))
        return attempt_rows(found[0]) if found else ()

    def logs(self, run_id: str, after: int | None = None, limit: int = 1000) -> list[LogRow]:
        """Give the lines that the run logged, the oldest first, from behind the line `after`.

        Of a run that logs much, the newest are kept (`log_lines_kept`).
        """
        query = select(run_logs).where(run_logs.c.run_id == run_id)
        if after is not None:
            query = query.where(run_logs.c.seq > after)
        with self._read() as connection:
            rows = connection.execute(query.order_by(run_logs.c.seq).limit(limit))
            return [
                LogRow(r.seq, instant(r.at), r.level, r.logger, r.text, r.attempt) for r in rows
            ]

    def stats(self, since: datetime, until: datetime, buckets: int = 60) -> Statistics:
        """Give counts and durations over time, in about this many buckets of whole slots."""
        with self._read() as connection:
            return statistics.statistics(connection, since, until, buckets)

    def failures(self, since: datetime, limit: int = 20) -> list[FailureGroup]:
        """Give the failures since then in groups that look the same, the newest first."""
        with self._read() as connection:
            return failures.failures(connection, since, limit)

    def names(self) -> Names:
        """Give the distinct tasks, queues, workers and tags."""
        with self._read() as connection:
            return names.names(connection)

    def oldest_waiting(self, queues: Sequence[str]) -> dict[str, datetime]:
        """Give to each queue the instant from which its run waits that waits longest."""
        with self._read() as connection:
            return waiting.oldest_waiting(connection, queues)

    def count_waiting(self, most: Mapping[str, int]) -> dict[str, int]:
        """Count the runs that wait in each queue, no further than to the number given for it."""
        with self._read() as connection:
            return waiting.count_waiting(connection, most)

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

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """Read; a history that nobody has written yet is an empty one."""
        if not self._is_made:
            self._make()
        with self.database.read() as connection:
            yield connection

    def _make(self) -> None:
        """Make the tables where there are none yet; older ones are left to who writes them."""
        try:
            self.database.make_folder()
            if self.database.is_new():
                self.migrate()
        except ConfigurationError as error:
            raise HistoryUnavailableError(str(error)) from error
        self._is_made = True

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
        with self._read() as connection:
            return [Record._make(row) for row in connection.execute(query)]
