"""Sessions: who is signed in, kept by the server; a browser has only a secret by chance.

A session ends when it was idle for long, when it is old, when its user is disabled, or when
somebody signs out, here or everywhere.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from celeriac.access import audit
from celeriac.access.audit import Entry
from celeriac.access.identity import Identity, Means
from celeriac.access.roles import Role
from celeriac.access.scope import Scope
from celeriac.access.secret import digest_of, new_secret
from celeriac.access.tables import sessions, users
from celeriac.access.touching import TOUCHED_EVERY, touch
from celeriac.access.users import User
from celeriac.history.database import Database
from celeriac.history.instants import instant, microseconds

LONGEST_AGENT: Final = 300


@dataclass(frozen=True)
class Session:
    """One browser that is signed in."""

    id: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    address: str
    agent: str
    means: str


class Sessions:
    """All sessions. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database, idle: timedelta, longest: timedelta) -> None:
        self._database = database
        self._idle = idle
        self._longest = longest

    @property
    def longest(self) -> timedelta:
        """Give the age at which a session ends in any case."""
        return self._longest

    def begin(
        self, user: User, means: Means, address: str, agent: str, instead_of: str | None = None
    ) -> str:
        """Begin a session, always with a new secret; gives the secret, which is not kept.

        The session whose secret the browser had until now ends with that.
        """
        secret = new_secret()
        who = Identity(user.name, user.role, means, user.id, address=address)
        with self._database.write() as connection:
            now = datetime.now(UTC)
            _forget_old(connection, now, self._idle)
            if instead_of is not None:
                connection.execute(delete(sessions).where(sessions.c.id == digest_of(instead_of)))
            row = {"id": digest_of(secret), "user_id": user.id, "means": means.value}
            times = {"created_at": now, "seen_at": now, "ends_at": now + self._longest}
            row |= {"address": address[:100], "agent": agent[:LONGEST_AGENT].replace("\0", "")}
            row |= {name: microseconds(at) for name, at in times.items()}  # type: ignore[misc]
            connection.execute(insert(sessions), row)
            signed_in = {"signed_in_at": microseconds(now)}
            connection.execute(update(users).where(users.c.id == user.id).values(signed_in))
            audit.append(connection, [Entry.by(who, "session.begin", user.name)])
        return secret

    def find(self, secret: str) -> Identity | None:
        """Give who it is whose browser holds the secret, as long as the session has not ended."""
        now = datetime.now(UTC)
        query = select(
            sessions.c.id.label("session_id"), sessions.c.seen_at, sessions.c.means, users
        )
        query = query.join_from(sessions, users, sessions.c.user_id == users.c.id).where(
            sessions.c.id == digest_of(secret),
            sessions.c.ends_at > microseconds(now),
            sessions.c.seen_at > microseconds(now - self._idle),
            users.c.disabled_at.is_(None),
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        if now - instant(row["seen_at"]) > TOUCHED_EVERY:
            mine = sessions.c.id == row["session_id"]
            touch(self._database, update(sessions).where(mine).values(seen_at=microseconds(now)))
        return Identity(
            row["name"],
            Role(row["role"]),
            Means(row["means"]),
            row["id"],
            session_id=row["session_id"],
            scopes=(Scope.read(row["tasks"], row["queues"]),),
        )

    def of_user(self, user_id: str) -> list[Session]:
        """Give the user's sessions that have not ended, the last seen first."""
        now = datetime.now(UTC)
        query = select(sessions).where(
            sessions.c.user_id == user_id,
            sessions.c.ends_at > microseconds(now),
            sessions.c.seen_at > microseconds(now - self._idle),
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(sessions.c.seen_at.desc())).mappings()
            return [_session_of(row) for row in rows]

    def end(self, who: Identity) -> None:
        """Sign out the browser of this identity."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.id == (who.session_id or "")))
            audit.append(connection, [Entry.by(who, "session.end", who.name)])

    def end_all(self, who: Identity, user: User) -> int:
        """Sign out a user everywhere; gives how many browsers that were."""
        with self._database.write() as connection:
            ended = connection.execute(delete(sessions).where(sessions.c.user_id == user.id))
            detail = {"sessions": ended.rowcount}
            audit.append(connection, [Entry.by(who, "session.end_all", user.name, detail=detail)])
        return ended.rowcount


def _session_of(row: Any) -> Session:
    return Session(
        row["id"],
        instant(row["created_at"]),
        instant(row["seen_at"]),
        instant(row["ends_at"]),
        row["address"],
        row["agent"],
        row["means"],
    )


def _forget_old(connection: Connection, now: datetime, idle: timedelta) -> None:
    over = sessions.c.ends_at <= microseconds(now)
    connection.execute(
        delete(sessions).where(over | (sessions.c.seen_at <= microseconds(now - idle)))
    )
