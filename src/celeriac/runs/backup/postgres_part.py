r"""A history in PostgreSQL, table by table, by `COPY`: it needs no program of PostgreSQL's, and any
version of it reads what another has written.

The first line says in JSON of which revision the tables are. Then, for each table: a line that
names it and its columns, its rows as `COPY` gives them, and a line `\.`, which is no row.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Connection, inspect, text

from celeriac.access.tables import metadata as of_access
from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.history.database import Database
from celeriac.history.migrating import revision_of, upgrade
from celeriac.history.tables import metadata as of_runs

BEGINS = b'{"postgresql": 1, '
ROWS_END = b"\\.\n"
TABLES = (*of_runs.tables, *of_access.tables)
RUNS = "runs"

_NO_LIMIT = text("SET LOCAL statement_timeout = 0")
# What is inserted with a number of its own leaves the sequence where it was.
_GO_ON_COUNTING = text(
    "SELECT setval(pg_get_serial_sequence('audit_entries', 'seq'), max(seq)) FROM audit_entries"
)


def save(database: Database, path: Path) -> str:
    """Write all tables as they are at one instant; gives how many runs there are.

    Raises:
        ConfigurationError: there are none.
        HistoryUnavailableError
    """
    counts: dict[str, int] = {}
    with _translated(), database.snapshot() as connection, path.open("wb") as file:
        connection.execute(_NO_LIMIT)
        if not (revision := revision_of(connection)):
            raise ConfigurationError("There is no history in PostgreSQL yet; start Celeriac once.")
        file.write(_line(postgresql=1, revision=revision))
        for table in inspect(connection).get_table_names():
            if table in TABLES:
                counts[table] = _save(connection, table, file)
    return f"{counts[RUNS]:,} runs"


def put_back(database: Database, path: Path) -> str:
    """Make the tables as they were, all of them or none; gives how many runs there are.

    Raises:
        ConfigurationError: a newer version of Celeriac made them.
        HistoryUnavailableError
    """
    counts: dict[str, int] = {}
    with _translated(), path.open("rb") as file, database.write() as connection:
        connection.execute(_NO_LIMIT)
        upgrade(connection, json.loads(file.readline())["revision"])
        while line := file.readline():
            of_table = json.loads(line)
            counts[of_table["table"]] = _load(connection, of_table, file)
        connection.execute(_GO_ON_COUNTING)
    return f"{counts[RUNS]:,} runs"


def _save(connection: Connection, table: str, file: IO[bytes]) -> int:
    columns = [str(column["name"]) for column in inspect(connection).get_columns(table)]
    file.write(_line(table=table, columns=columns))
    rows = 0
    with _cursor(connection).copy(_copy(table, columns, "TO STDOUT")) as copy:
        for block in copy:
            rows += bytes(block).count(b"\n")
            file.write(block)
    file.write(ROWS_END)
    return rows


def _load(connection: Connection, of_table: dict[str, Any], file: IO[bytes]) -> int:
    command = _copy(of_table["table"], of_table["columns"], "FROM STDIN")
    rows = 0
    with _cursor(connection).copy(command) as copy:
        for row in iter(file.readline, ROWS_END):
            if not row:
                raise ConfigurationError(f"{of_table['table']} has no end, so nothing is restored.")
            rows += 1
            copy.write(row)
    return rows


def _copy(table: str, columns: list[str], way: LiteralString) -> Composed:
    names = SQL(", ").join(map(Identifier, columns))
    return SQL("COPY {} ({}) " + way).format(Identifier(table), names)


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


def _line(**words: object) -> bytes:
    return json.dumps(words).encode() + b"\n"


@contextmanager
def _translated() -> Iterator[None]:
    """Tell what the driver itself raises as SQLAlchemy's errors are told."""
    try:
        yield
    except psycopg.Error as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise HistoryUnavailableError(f"PostgreSQL fails: {first_line}") from error
