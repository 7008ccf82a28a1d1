"""The history, with users, tokens and the audit trail: SQLite by its own backup, PostgreSQL by
`pg_dump`; both see one instant."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.history.database import SQLITE, Database

SQLITE_BEGINS = b"SQLite format 3\0"


def save(address: str, path: Path) -> str:
    """Write a copy."""
    database = Database(address)
    if database.dialect != SQLITE:
        _program("pg_dump", database.url, "--format=custom", f"--file={path}")
        return "a dump of PostgreSQL"
    file = Path(database.url.database or "")
    if not file.exists():
        raise ConfigurationError(f"There is no history in {file} yet; start Celeriac once.")
    _copy(file, path)
    return _counted(path)


def restoring(address: str, path: Path) -> tuple[Callable[[], str | None], Callable[[], str]]:
    """Give what tells whether anything stands against it, and what does it."""
    database = Database(address)
    with path.open("rb") as dump:
        is_of_sqlite = dump.read(len(SQLITE_BEGINS)) == SQLITE_BEGINS
    file = Path(database.url.database or "")

    def check() -> str | None:
        if is_of_sqlite != (database.dialect == SQLITE):
            return "it is of the other kind of database than CELERIAC_HISTORY_URL names."
        if is_of_sqlite:
            return f"{file} is there already." if file.exists() else None
        return None if _is_new(database) else "the database has a history already."

    def put_back() -> str:
        if is_of_sqlite:
            database.make_folder()
            part = file.with_name(f"{file.name}.part")
            _copy(path, part)
            part.chmod(0o600)
            part.rename(file)
            return _counted(file)
        words = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _program("pg_restore", database.url, *words, str(path))
        return "a dump of PostgreSQL"

    return check, put_back


def _is_new(database: Database) -> bool:
    try:
        return database.is_new()
    finally:
        database.close()


def _copy(source: Path, target: Path) -> None:
    """Copy a database while others write to it, and check the copy."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise HistoryUnavailableError(f"The history cannot be copied: {error}.") from error
    if verdict != "ok":
        raise HistoryUnavailableError(f"The history is damaged: {verdict}.")


def _counted(file: Path) -> str:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        (runs,) = database.execute("SELECT count(*) FROM runs").fetchone()
    return f"{runs:,} runs"


def _program(name: str, url: URL, *words: str) -> None:
    """Run a program of PostgreSQL's; no list of processes shows the password."""
    program = shutil.which(name)
    if program is None:
        raise ConfigurationError(
            f"{name} is not installed here (apt install postgresql-client). "
            "Or back PostgreSQL up by its own means."
        )
    where = url.set(drivername="postgresql", password=None).render_as_string()
    done = subprocess.run(
        [program, "--no-password", f"--dbname={where}", *words],
        env={**os.environ, "PGPASSWORD": url.password or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise HistoryUnavailableError(f"{name} fails; it says: {said}")
