"""The history when processes start at once, wait for each other, fail or are killed."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from celeriac.access import tables as access_tables
from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.history import History
from celeriac.history.database import WRITER_LOCK
from celeriac.history.tables import INDEXES, metadata
from history_events import Stream, at, ids, many
from postgres import PostgresServer

CHILD = """
import sys, time
from datetime import UTC, datetime
from celeriac.events import Event, EventKind
from celeriac.history import History, recording
history = History(sys.argv[1])
"""


@pytest.fixture
def sqlite_history(tmp_path: Path) -> Iterator[History]:
    history = History(f"sqlite:///{tmp_path}/only.db", wait_s=0.3)
    history.migrate()
    yield history
    history.close()


INDEX_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_%'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix_%'",
}


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_migrations_make_the_tables_that_the_queries_expect(history: History) -> None:
    def can_be_compared(_: object, name: str | None, *__: object) -> bool:
        return name != "ix_runs_due"  # An expression, which each database writes in its own way.

    with history.database.engine.connect() as connection:
        options = {"include_object": can_be_compared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, [metadata, access_tables.metadata]) == []
        names = set(connection.scalars(text(INDEX_NAMES[history.database.dialect])))
    assert names == {index.name for index in (*INDEXES, *access_tables.INDEXES)}


def test_migrate_by_many_processes_at_once_makes_the_tables_once(history_url: str) -> None:
    code = (
        CHILD
        + """
history.migrate()
history.apply([Event(sys.argv[2], EventKind.STARTED, datetime.now(UTC))])
"""
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, history_url, f"run-{number}"])
        for number in range(3)
    ]
    assert [child.wait(60) for child in children] == [0] * 3

    history = History(history_url)
    assert history.count().total == 3
    history.close()


def test_migrate_makes_the_folder(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/new/folder/history.db")
    history.migrate()
    history.close()

    assert (tmp_path / "new/folder/history.db").exists()


def test_migrate_refuses_a_history_of_a_newer_version(history: History) -> None:
    with history.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigurationError, match="newer version"):
        history.migrate()


def test_migrate_refuses_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_text("This is a letter to somebody, not a database. " * 100)

    with pytest.raises(ConfigurationError, match="not SQLite"):
        History(f"sqlite:///{tmp_path}/history.db").migrate()


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Be another writer in mid-transaction."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    if url.startswith("sqlite"):
        event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        lock = "BEGIN IMMEDIATE"
    else:
        lock = f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(lock)
            yield
            connection.rollback()
    finally:
        engine.dispose()


def test_apply_waits_for_another_writer(history: History, history_url: str) -> None:
    stream = Stream()
    stream.run(0)
    locked = threading.Event()

    def hold() -> None:
        with _locked(history_url):
            locked.set()
            time.sleep(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(10)
    history.apply(stream.events)
    holder.join()

    assert history.count().total == 1


def test_apply_says_unavailable_while_locked_and_works_afterwards(
    history: History, history_url: str
) -> None:
    stream = Stream()
    stream.run(0)
    with _locked(history_url):
        with pytest.raises(HistoryUnavailableError):
            history.apply(stream.events)
        assert history.find().runs == (), "reading does not wait for writers"
    history.apply(stream.events)

    assert history.count().total == 1


def test_apply_on_a_full_disk_changes_nothing_and_works_once_there_is_space(
    sqlite_history: History,
) -> None:
    history = sqlite_history
    history.apply(many(20).events)
    pages = [60]

    def limit(raw: sqlite3.Connection, _record: object) -> None:
        raw.execute(f"PRAGMA max_page_count={pages[0]}").close()

    event.listen(history.database.engine, "connect", limit)
    history.close()
    more = many(500)

    with pytest.raises(HistoryUnavailableError, match="full"):
        history.apply(more.events)
    assert history.count().total == 20

    pages[0] = 1_000_000
    history.close()
    history.apply(more.events)
    assert history.count().total == 520


def test_history_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(f"sqlite:///{tmp_path}/file/history.db")

    with pytest.raises(HistoryUnavailableError):
        history.find()


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_postgresql_away_is_unavailable_and_loses_nothing(
    postgres_server: PostgresServer, ending: str
) -> None:
    history = History(postgres_server.create_database(f"test_{uuid4().hex}"), wait_s=2)
    history.migrate()
    stream = Stream()
    run_id = stream.run(0)
    history.apply(stream.events)
    getattr(postgres_server, ending)()
    calls: list[Callable[[], object]] = [
        lambda: history.apply(stream.events),
        history.find,
        history.names,
        history.migrate,
        lambda: list(history.export()),
        lambda: list(history.prune(keep_newest=1)),
    ]
    try:
        for call in calls:
            with pytest.raises(HistoryUnavailableError):
                call()
    finally:
        postgres_server.start()

    assert ids(history.find().runs) == [run_id]
    history.close()


def test_a_process_killed_in_mid_transaction_leaves_no_trace(
    history: History, history_url: str
) -> None:
    code = (
        CHILD
        + """
def hang(*_):
    print("inside", flush=True)
    time.sleep(60)
recording._write_logs = hang
history.apply([Event("half", EventKind.SUBMITTED, datetime.now(UTC), {"tags": ["t"]})])
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, history_url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "inside\n"
        child.kill()
    stream = Stream()
    run_id = stream.run(0, id="half")

    assert history.get("half") is None
    assert history.stats(at(0), datetime.now(UTC)).total.submitted == 0
    history.apply(stream.events)
    assert ids(history.find().runs) == [run_id]


def test_history_that_nobody_has_written_is_empty(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/new/history.db")

    assert history.find().runs == () and history.count().total == 0
    assert history.get("a") is None and history.names().tasks == ()
    history.close()
