"""The history, with users, tokens and the audit trail: SQLite by its own backup, PostgreSQL by
`postgres_part`; both see one instant."""

import sqlite3
from contextlib import closing
from pathlib import Path

from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.history.database import SQLITE, Database
from celeriac.runs.backup import postgres_part

SQLITE_BEGINS = b"SQLite format 3\0"
SQLITE_FILES = ("", "-wal", "-shm", "-journal")
"""What a killed process leaves beside the file; SQLite would write it over what is restored."""


def save(address: str, path: Path) -> str:
    """Write a copy."""
    database = Database(address)
    if database.dialect != SQLITE:
        with closing(database):
            return postgres_part.save(database, path)
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
            HistoryUnavailableError
        """
        with self._path.open("rb") as copy:
            begins = copy.read(len(postgres_part.BEGINS))
        is_of_sqlite = begins.startswith(SQLITE_BEGINS)
        if is_of_sqlite != (self._database.dialect == SQLITE):
            return "it is of the other kind of database than CELERIAC_HISTORY_URL names."
        if is_of_sqlite:
            names = " and ".join(str(file) for file in self._files if file.exists())
            return (
                f"{names}: there already. Move all of a history away together." if names else None
            )
        if begins != postgres_part.BEGINS:
            return "it is no history that this version of Celeriac reads."
        return None if _is_new(self._database) else "the database has a history already."

    def put_back(self) -> str:
        """Make the database what it was; where that fails, it is as new as it was."""
        if self._database.dialect == SQLITE:
            part = self._file.with_name(f"{self._file.name}.part")
            part.unlink(missing_ok=True)
            Database(f"sqlite:///{part}").make_folder()
            words = _copy(self._path, part)
            part.rename(self._file)
            return words
        with closing(self._database):
            return postgres_part.put_back(self._database, self._path)

    @property
    def _file(self) -> Path:
        return Path(self._database.url.database or "")

    @property
    def _files(self) -> list[Path]:
        return [self._file.with_name(self._file.name + end) for end in SQLITE_FILES]


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
