"""The connection to SQLite or PostgreSQL: transactions, and the drivers' errors turned into ours.

One writer at a time on both: SQLite has it so, and on PostgreSQL a lock makes it so. What was read
in a writing transaction is therefore true until it ends, and merging needs no second try.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from stat import S_IMODE
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from celeriac.errors import ConfigurationError, HistoryRefusedError, HistoryUnavailableError
from celeriac.history.text_search import CONTAINS, contains

POSTGRESQL = "postgresql"
SQLITE = "sqlite"
SCHEMES = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
VERSIONS = "alembic_version"
"""Alembic's own table, which says which migrations were made."""

WRITES = "celeriac_writes"
WRITER_LOCK = 0x63656C6572696163
STATEMENT_TIMEOUT_S = 120
PRAGMAS = (
    # A power cut may undo the last transactions, never tear one; the stream has them still.
    "synchronous=NORMAL",
    "cache_size=-65536",
    "temp_store=MEMORY",
    # Batches touch the same pages of the indexes again and again: copy them back less often.
    "wal_autocheckpoint=8000",
    "journal_size_limit=67108864",
)
_REFUSED = {
    sqlite3.SQLITE_FULL: "The disk that holds the history is full. Free some space.",
    sqlite3.SQLITE_BUSY: "Another process keeps the history's file locked. Find out which.",
    sqlite3.SQLITE_READONLY: "The history's file cannot be written. Check its owner and mode.",
    sqlite3.SQLITE_CANTOPEN: "The history's file cannot be opened. Check its folder.",
    sqlite3.SQLITE_CORRUPT: "The history's file is damaged. Restore it from a backup.",
}
_REFUSED_VALUES = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
_REFUSED_STATES = ("22", "23", "54")
"""PostgreSQL's classes: data exception, constraint violated, limit exceeded."""
_NOT_SQLITE = sqlite3.SQLITE_NOTADB


class Database:
    """A pool of connections; it connects when it is first used.

    Raises:
        ConfigurationError: the address is wrong.
    """

    def __init__(self, url: str, wait_s: float = 5) -> None:
        self.url = _checked(url)
        self.dialect = self.url.get_backend_name()
        self.engine = self._sqlite(wait_s) if self.dialect == SQLITE else self._postgresql(wait_s)
        self._reader = self.engine.execution_options(**self._reading())
        self._writer = self.engine.execution_options(**{WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection whose statements each stand alone.

        Raises:
            HistoryUnavailableError: the database is away or refuses.
        """
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a connection to PostgreSQL that sees one instant, and changes nothing.

        Raises:
            HistoryUnavailableError: the database is away or refuses.
        """
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _translated(), self.engine.execution_options(**options).connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that excludes other writers; commit at the end.

        Raises:
            HistoryUnavailableError: the database is away, full or locked; nothing was changed.
            HistoryRefusedError: it refuses these values; nothing was changed.
        """
        with _refusing(), _translated(), self._writer.begin() as connection:
            if self.dialect == POSTGRESQL:
                lock = text("SELECT pg_advisory_xact_lock(:lock)")
                connection.execute(lock, {"lock": WRITER_LOCK})
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def make_folder(self) -> None:
        """Make the folder of an SQLite file, and see that nobody but the owner reads the file.

        Raises:
            ConfigurationError: it cannot be made.
        """
        if self.dialect != SQLITE:
            return
        file = Path(self.url.database or "")
        try:
            _make_private(file.parent)
        except OSError as error:
            raise ConfigurationError(
                f"CELERIAC_HISTORY_URL: the folder {file.parent} cannot be made: {error.strerror}."
            ) from None
        _close(file)

    def is_new(self) -> bool:
        """Tell whether nobody has made the tables yet.

        Raises:
            HistoryUnavailableError: the database is away or refuses.
        """
        with self.read() as connection:
            return not inspect(connection).has_table(VERSIONS)

    def _reading(self) -> dict[str, Any]:
        return {"isolation_level": "AUTOCOMMIT"} if self.dialect == POSTGRESQL else {}

    def _sqlite(self, wait_s: float) -> Engine:
        engine = create_engine(self.url, connect_args={"timeout": wait_s}, pool_timeout=wait_s)
        event.listen(engine, "connect", partial(_prepare_sqlite, wait_s))
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgresql(self, wait_s: float) -> Engine:
        options = f"-c lock_timeout={wait_s}s -c statement_timeout={STATEMENT_TIMEOUT_S}s"
        return create_engine(
            self.url,
            connect_args={
                "application_name": "celeriac",
                "connect_timeout": max(2, round(wait_s)),
                "options": options,
            },
            pool_pre_ping=True,
            pool_timeout=wait_s,
        )


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
        _ = url.port
    except (ArgumentError, ValueError):
        raise _wrong("is no address") from None
    if url.drivername not in SCHEMES:
        raise _wrong(f"has the scheme {url.drivername!r}")
    if url.get_backend_name() == SQLITE and url.database in (None, "", ":memory:"):
        raise _wrong("names no file")
    return url.set(drivername=SCHEMES[url.drivername])


def _wrong(what: str) -> ConfigurationError:
    # The address itself may hold a password, so it is never shown.
    return ConfigurationError(
        f"CELERIAC_HISTORY_URL {what}; expected sqlite:///folder/history.db "
        "or postgresql://user:password@host:5432/database"
    )


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is recorded must not end up in somebody's repository.
        (folder / ".gitignore").write_text("*\n")


def _close(file: Path) -> None:
    """Make a file that its owner alone can read; an old one is closed to all but its group.

    SQLite gives the same rights to the files beside it. Where it cannot be done, SQLite says why.
    """
    with suppress(OSError):
        file.touch(mode=0o600)
        for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
            if each.exists() and (mode := each.stat().st_mode) & 0o007:
                each.chmod(S_IMODE(mode) & ~0o007)


def _prepare_sqlite(wait_s: float, connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions when it sees fit; `_begin_sqlite` does instead.
    connection.isolation_level = None
    connection.create_function(CONTAINS, 2, contains, deterministic=True)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()
    _use_wal(connection, time.monotonic() + wait_s)


def _use_wal(connection: sqlite3.Connection, until_s: float) -> None:
    """Switch a new file to WAL mode, so that reading does not wait for writing.

    While two processes make the file, SQLite refuses this one statement without waiting.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get(WRITES):
        # A lock that is taken later, at the first write, could be refused without waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise HistoryUnavailableError(
            "All connections to the history's database are in use. Try again shortly."
        ) from error
    except DBAPIError as error:
        raise _explained(error.orig) from error


@contextmanager
def _refusing() -> Iterator[None]:
    """Tell values that the database will never take from a database that is away."""
    try:
        yield
    except HistoryUnavailableError as error:
        cause = getattr(error.__cause__, "orig", None)
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if (
            code in _REFUSED_VALUES
            or (getattr(cause, "sqlstate", None) or "")[:2] in _REFUSED_STATES
        ):
            raise HistoryRefusedError(str(error)) from error
        raise


def _explained(error: object) -> HistoryUnavailableError | ConfigurationError:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == _NOT_SQLITE:
            return ConfigurationError("CELERIAC_HISTORY_URL names a file that is not SQLite's.")
        return HistoryUnavailableError(_REFUSED.get(code, f"The history's file refuses: {error}."))
    state = getattr(error, "sqlstate", None)
    if state is None:
        return HistoryUnavailableError(
            "The history's PostgreSQL server did not answer. Check that it runs, "
            "and that CELERIAC_HISTORY_URL names it rightly."
        )
    return HistoryUnavailableError(
        f"The history's PostgreSQL server refuses: {_first_line(error)} (SQLSTATE {state})."
    )


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".")
