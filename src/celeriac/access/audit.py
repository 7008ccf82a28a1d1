"""The audit trail: who did what, when, from where, to what. Entries are added, never changed.

The database itself refuses to change or remove one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, or_, select

from celeriac.access.identity import Identity
from celeriac.access.tables import audit_entries
from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history.database import Database
from celeriac.history.instants import instant, microseconds

PAGE = 100
LONGEST_PAGE = 1000
LONGEST_WORD = 500
LONGEST_DETAIL = 2000
OK = "ok"


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did or tried; `outcome` is `ok` or the code of the error."""

    actor: str
    means: str
    action: str
    target: str = ""
    address: str = ""
    token_id: str | None = None
    outcome: str = OK
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seq: int = 0

    @classmethod
    def by(cls, who: Identity, action: str, target: str = "", **more: Any) -> "Entry":
        """Make an entry of what somebody did."""
        return cls(who.name, who.means, action, target, who.address, token_id=who.token_id, **more)

    def as_json(self) -> dict[str, Any]:
        """Give it for programs."""
        return vars(self) | {"at": self.at.isoformat().replace("+00:00", "Z")}

    def as_line(self) -> str:
        """Give it for a log, whatever its detail holds."""
        try:
            return json.dumps(self.as_json(), default=str)
        except (TypeError, ValueError, RecursionError):
            return json.dumps(self.as_json() | {"detail": "unreadable"}, default=str)


@dataclass(frozen=True)
class AuditFilter:
    """Which entries: those that meet all of it. `q` is found in any part of an entry."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


@dataclass(frozen=True)
class AuditPage:
    """Some entries, newest first, and from where to go on."""

    entries: tuple[Entry, ...]
    next_cursor: str | None


def append(connection: Connection, entries: Iterable[Entry]) -> None:
    """Add entries in the transaction of what they tell of."""
    rows = [_row(entry) for entry in entries]
    if rows:
        connection.execute(insert(audit_entries), rows)


class AuditTrail:
    """Reads and adds. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, entries: Iterable[Entry]) -> None:
        """Add entries, all or none of them."""
        with self._database.write() as connection:
            append(connection, entries)

    def find(
        self, wanted: AuditFilter | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> AuditPage:
        """Give a page of entries, newest first.

        Raises:
            InvalidInputError: the cursor is none.
        """
        limit = max(1, min(limit, LONGEST_PAGE))
        query = _query(wanted or AuditFilter(), _place(cursor)).limit(limit + 1)
        with self._database.read() as connection:
            rows = [_entry(row) for row in connection.execute(query).mappings()]
        more = len(rows) > limit
        return AuditPage(tuple(rows[:limit]), str(rows[limit - 1].seq) if more else None)

    def export(self, wanted: AuditFilter | None = None) -> Iterator[str]:
        """Give entries as NDJSON lines, newest first, with a page in memory at a time."""
        cursor: str | None = None
        while True:
            page = self.find(wanted, cursor, LONGEST_PAGE)
            for entry in page.entries:
                yield json.dumps(entry.as_json(), ensure_ascii=False) + "\n"
            if (cursor := page.next_cursor) is None:
                return


def _row(entry: Entry) -> dict[str, Any]:
    detail = json.dumps(entry.detail, ensure_ascii=False, default=str)
    words = ("actor", "means", "address", "action", "target", "outcome")
    row = {name: _kept(getattr(entry, name), LONGEST_WORD) for name in words}
    if len(detail) > LONGEST_DETAIL:
        detail = json.dumps({"cut": detail[: LONGEST_DETAIL // 2]}, ensure_ascii=False)
    return row | {
        "at": microseconds(entry.at),
        "token_id": entry.token_id,
        "detail": detail.encode(errors="replace").decode(),
    }


def _kept(word: str, length: int) -> str:
    """Cut a word of somebody's, and drop what a database refuses."""
    return str(word)[:length].replace("\0", "\ufffd").encode(errors="replace").decode()


def _entry(row: Mapping[Any, Any]) -> Entry:
    kept = {**row, "at": instant(row["at"]), "detail": json.loads(row["detail"])}
    return Entry(**kept)


def _query(wanted: AuditFilter, before: int | None) -> Select[Any]:
    table = audit_entries.c
    query = select(audit_entries).order_by(table.seq.desc())
    for column, value in (("actor", wanted.actor), ("target", wanted.target)):
        if value:
            query = query.where(table[column] == _kept(value, LONGEST_WORD))
    if wanted.action:
        # `user` finds all that was done to users, `user.add` that alone.
        action = _kept(wanted.action, LONGEST_WORD)
        below = table.action.startswith(f"{action}.", autoescape=True)
        query = query.where(or_(table.action == action, below))
    if wanted.since:
        query = query.where(table.at >= microseconds(wanted.since))
    if wanted.until:
        query = query.where(table.at < microseconds(wanted.until))
    if wanted.q:
        names = ("actor", "action", "target", "address", "outcome", "detail")
        text = _kept(wanted.q, LONGEST_WORD)
        query = query.where(or_(*(table[n].icontains(text, autoescape=True) for n in names)))
    return query if before is None else query.where(table.seq < before)


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidInputError([FieldProblem("/cursor", "This is no cursor of a page.")])
    return int(cursor)
