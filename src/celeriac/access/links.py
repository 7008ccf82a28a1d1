"""Links that work once: to become the first administrator, or to choose a password.

So no password is ever made up by anybody else, printed or sent.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from celeriac.access import audit, passwords
from celeriac.access.audit import Entry
from celeriac.access.errors import LinkSpentError
from celeriac.access.identity import Identity, Means
from celeriac.access.roles import Role
from celeriac.access.scope import Scope
from celeriac.access.secret import digest_of, new_secret
from celeriac.access.tables import links, sessions, users
from celeriac.access.users import (
    User,
    check_has_password,
    checked_name,
    insert_user,
    row_of,
    user_of,
)
from celeriac.history.database import Database
from celeriac.history.instants import microseconds

LASTS: Final = timedelta(days=1)


class Links:
    """All links that nobody has followed. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def for_setup(self) -> str | None:
        """Make a link for the first administrator; None where there is one already."""
        with self._database.write() as connection:
            return None if _has_administrator(connection) else _made(connection, None)

    def for_user(self, who: Identity, name: str) -> str:
        """Make a link by which a user chooses a password; one that was made before is void.

        Raises:
            UnknownUserError: there is none of this name.
            ForbiddenError: a provider vouches for them, so they have no password.
        """
        with self._database.write() as connection:
            row = row_of(connection, name)
            check_has_password(row)
            connection.execute(delete(links).where(links.c.user_id == row["id"]))
            audit.append(connection, [Entry.by(who, "user.link", row["name"])])
            return _made(connection, row["id"])

    def name_of(self, secret: str) -> str | None:
        """Give whose link it is; None where it is the first administrator's, to be named.

        Raises:
            LinkSpentError: it is none any more.
        """
        with self._database.read() as connection:
            return _name_of(connection, secret)

    def follow(self, secret: str, name: str, password: str, address: str = "") -> User:
        """Choose a password by a link, once; the first administrator chooses the name, too.

        Raises:
            LinkSpentError: it is none any more.
            InvalidInputError: name or password is none.
        """
        # Told before the password is worked on, which takes its time.
        name = self.name_of(secret) or checked_name(name)
        digest = passwords.digest_of(password, name)
        with self._database.write() as connection:
            theirs = _name_of(connection, secret)
            connection.execute(delete(links).where(links.c.id == digest_of(secret)))
            if theirs is None:
                user = insert_user(connection, name, Role.ADMIN, Scope(), password=digest)
                connection.execute(delete(links).where(links.c.user_id.is_(None)))
            else:
                user = _changed(connection, theirs, digest)
            who = Identity(user.name, user.role, Means.LINK, user.id, address=address)
            action = "user.setup" if theirs is None else "user.password"
            audit.append(connection, [Entry.by(who, action, user.name)])
        return user


def _made(connection: Connection, user_id: str | None) -> str:
    secret, now = new_secret(), datetime.now(UTC)
    connection.execute(delete(links).where(links.c.ends_at <= microseconds(now)))
    ends_at = microseconds(now + LASTS)
    row = {"id": digest_of(secret), "user_id": user_id, "ends_at": ends_at}
    connection.execute(insert(links), row)
    return secret


def _name_of(connection: Connection, secret: str) -> str | None:
    now = microseconds(datetime.now(UTC))
    query = select(links.c.user_id, users.c.name, users.c.disabled_at)
    query = query.join_from(links, users, links.c.user_id == users.c.id, isouter=True)
    query = query.where(links.c.id == digest_of(secret), links.c.ends_at > now)
    row = connection.execute(query).one_or_none()
    if row is None or (row.user_id is not None and row.name is None) or row.disabled_at is not None:
        raise LinkSpentError
    if row.user_id is None and _has_administrator(connection):
        raise LinkSpentError
    return str(row.name) if row.user_id else None


def _has_administrator(connection: Connection) -> bool:
    """Tell whether there is one; a disabled one counts, and others can let them in again."""
    query = select(users.c.id).where(users.c.role == Role.ADMIN).limit(1)
    return connection.scalar(query) is not None


def _changed(connection: Connection, name: str, digest: str) -> User:
    row = row_of(connection, name)
    mine = users.c.id == row["id"]
    connection.execute(update(users).where(mine).values(password=digest))
    connection.execute(delete(sessions).where(sessions.c.user_id == row["id"]))
    return user_of(row)
