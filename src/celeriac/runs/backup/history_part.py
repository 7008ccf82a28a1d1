"""The history, with users, tokens and the audit trail: SQLite by its own backup, PostgreSQL by
`pg_dump`; both see one instant."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.history.database import SQLITE, Database

SQLITE_BEGINS = b"SQLite format 3\0"
DUMP = "a dump of PostgreSQL"


def save(address: str, path: Path) -> str:
    """Write a copy."""
    database = Database(address)
    if database.dialect != SQLITE:
        _run("pg_dump", database.url, "--format=custom", f"--file={path}")
        return DUMP
    file = Path(database.url.database or "")
    if not file.exists() or not file.stat().st_size:
        raise ConfigurationError(f"There is no history in {file} yet; start Celeriac once.")
    return _copy(file, path)


class HistoryPart:
    """Such a copy, and the database that it goes back into."""

    def __init__(self, address: str, path: Path) -> None:
        self._database = Database(address)
        self._path = path

    def check(self) -> str | None:
        """Tell what stands against it.

        Raises:
            ConfigurationError: `pg_restore` is needed, and not installed.
            HistoryUnavailableError
        """
        with self._path.open("rb") as copy:
            is_of_sqlite = copy.read(len(SQLITE_BEGINS)) == SQLITE_BEGINS
        if is_of_sqlite != (self._database.dialect == SQLITE):
            return "it is of the other kind of database than CELERIAC_HISTORY_URL names."
        if is_of_sqlite:
            return f"{self._file} is there already." if self._file.exists() else None
        _found("pg_restore")
        return None if _is_new(self._database) else "the database has a history already."

    def put_back(self) -> str:
        """Make the database what it was; where that fails, it is as new as it was."""
        if self._database.dialect == SQLITE:
            part = self._file.with_name(f"{self._file.name}.part")
            Database(f"sqlite:///{part}").make_folder()
            words = _copy(self._path, part)
            part.rename(self._file)
            return words
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", self._database.url, *options, str(self._path))
        return DUMP

    @property
    def _file(self) -> Path:
        return Path(self._database.url.database or "")


def _is_new(database: Database) -> bool:
    try:
        return database.is_new()
    finally:
        database.close()


def _copy(source: Path, target: Path) -> str:
    """Copy a history while others write to it, and check the copy; gives how many runs it has."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
            (runs,) = new.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.Error as error:
        raise HistoryUnavailableError(f"The history cannot be copied: {error}.") from error
    if verdict != "ok":
        raise HistoryUnavailableError(f"The history is damaged: {verdict}.")
    return f"{runs:,} runs"


def _found(name: str) -> str:
    """Find a program of PostgreSQL's."""
    program = shutil.which(name)
    if program is None:
        raise ConfigurationError(
            f"{name} is not installed here (apt install postgresql-client). "
            "Or back PostgreSQL up by its own means."
        )
    return program


def _run(name: str, url: URL, *options: str) -> None:
    """Run such a program; no list of processes shows the password."""
    where = url.set(drivername="postgresql", password=None).render_as_string()
    done = subprocess.run(
        [_found(name), "--no-password", f"--dbname={where}", *options],
        env={**os.environ, "PGPASSWORD": url.password or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise HistoryUnavailableError(f"{name} fails; it says: {said}")
