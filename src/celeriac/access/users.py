"""Users: who there is, what each may do, and the passwords of those that have one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update
from uuid_utils import uuid7

from celeriac.access import audit, passwords
from celeriac.access.audit import Entry
from celeriac.access.errors import ForbiddenError, LastAdminError, SignInError, UnknownUserError
from celeriac.access.identity import Identity
from celeriac.access.roles import Role
from celeriac.access.scope import Scope
from celeriac.access.tables import links, sessions, users
from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history.database import Database
from celeriac.history.instants import instant, instant_or_none, microseconds

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


@dataclass(frozen=True)
class User:
    """Somebody who may sign in."""

    id: str
    name: str
    role: Role
    scope: Scope
    has_password: bool
    issuer: str | None
    created_at: datetime
    signed_in_at: datetime | None
    disabled_at: datetime | None


class Users:
    """All users. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[User]:
        """Give all users by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(users).order_by(users.c.name)).mappings()
            return [user_of(row) for row in rows]

    def is_empty(self) -> bool:
        """Tell whether nobody was ever added."""
        with self._database.read() as connection:
            return connection.scalar(select(users.c.id).limit(1)) is None

    def get(self, name: str) -> User:
        """Give a user.

        Raises:
            UnknownUserError: there is none of this name.
        """
        with self._database.read() as connection:
            return user_of(row_of(connection, name))

    def add(
        self, who: Identity, name: str, role: Role, scope: Scope | None = None, **more: str | None
    ) -> User:
        """Add a user, who cannot sign in before a link was followed or a provider names them.

        Raises:
            InvalidInputError: it is no name, or somebody has it.
        """
        with self._database.write() as connection:
            added = insert_user(connection, name, role, scope or Scope(), **more)
            said = {"role": role, **added.scope.columns}
            audit.append(connection, [Entry.by(who, "user.add", added.name, detail=said)])
        return added

    def change(self, who: Identity, name: str, role: Role, scope: Scope | None = None) -> None:
        """Change what a user may do, from the next request on; without a scope that stays.

        Raises:
            UnknownUserError: there is none of this name.
            LastAdminError: nobody else could manage users.
        """
        with self._database.write() as connection:
            row = row_of(connection, name)
            if role is not Role.ADMIN:
                _check_others(connection, row)
            values = {"role": role.value, **(scope.columns if scope else {})}
            connection.execute(update(users).where(users.c.id == row["id"]).values(values))
            before = {column: row[column] for column in values}
            detail = {"from": before, "to": values}
            audit.append(connection, [Entry.by(who, "user.change", row["name"], detail=detail)])

    def disable(self, who: Identity, name: str) -> None:
        """Let a user do nothing any more, at once: neither by a session nor by a token.

        Raises:
            UnknownUserError: there is none of this name.
            LastAdminError: nobody else could manage users.
        """
        with self._database.write() as connection:
            row = row_of(connection, name)
            _check_others(connection, row)
            now = microseconds(datetime.now(UTC))
            _set(connection, row, disabled_at=now)
            connection.execute(delete(sessions).where(sessions.c.user_id == row["id"]))
            audit.append(connection, [Entry.by(who, "user.disable", row["name"])])

    def enable(self, who: Identity, name: str) -> None:
        """Let a user sign in again.

        Raises:
            UnknownUserError: there is none of this name.
        """
        with self._database.write() as connection:
            row = row_of(connection, name)
            _set(connection, row, disabled_at=None)
            audit.append(connection, [Entry.by(who, "user.enable", row["name"])])

    def set_password(self, who: Identity, name: str, password: str) -> None:
        """Give a user a new password; whoever is signed in as them elsewhere is signed out.

        Raises:
            UnknownUserError: there is none of this name.
            InvalidInputError: the password is none (`/password`).
            ForbiddenError: a provider vouches for them, so they have no password.
        """
        digest = passwords.digest_of(password, name)
        with self._database.write() as connection:
            row = row_of(connection, name)
            check_has_password(row)
            _set(connection, row, password=digest)
            keep = sessions.c.id != (who.session_id or "")
            connection.execute(delete(sessions).where(sessions.c.user_id == row["id"], keep))
            connection.execute(delete(links).where(links.c.user_id == row["id"]))
            audit.append(connection, [Entry.by(who, "user.password", row["name"])])

    def check(self, name: str, password: str) -> User:
        """Give the user whose name and password these are.

        Raises:
            SignInError: they do not belong together, or the user is disabled.
        """
        with self._database.read() as connection:
            row = _row_or_none(connection, name)
        digest = row["password"] if row and row["disabled_at"] is None else None
        if not passwords.is_right(password, digest) or row is None or digest is None:
            raise SignInError
        if passwords.is_outdated(digest):
            self._keep_anew(row, password)
        return user_of(row)

    def _keep_anew(self, row: Mapping[Any, Any], password: str) -> None:
        with self._database.write() as connection:
            _set(connection, row, password=passwords.digest_of(password, ""))


def user_of(row: Mapping[Any, Any]) -> User:
    """Read a row."""
    return User(
        row["id"],
        row["name"],
        Role(row["role"]),
        Scope.read(row["tasks"], row["queues"]),
        row["password"] is not None,
        row["issuer"],
        instant(row["created_at"]),
        instant_or_none(row["signed_in_at"]),
        instant_or_none(row["disabled_at"]),
    )


def row_of(connection: Connection, name: str) -> Mapping[Any, Any]:
    """Read a user's row.

    Raises:
        UnknownUserError: there is none of this name.
    """
    if (row := _row_or_none(connection, name)) is None:
        raise UnknownUserError(name)
    return row


def _row_or_none(connection: Connection, name: str) -> Mapping[Any, Any] | None:
    name = name.strip().lower()
    if not NAME.fullmatch(name):  # Some of what is none a database cannot even compare.
        return None
    query = select(users).where(users.c.name == name)
    return connection.execute(query).mappings().one_or_none()


def insert_user(
    connection: Connection, name: str, role: Role, scope: Scope, **more: str | None
) -> User:
    """Add a user's row.

    Raises:
        InvalidInputError: it is no name, or somebody has it.
    """
    name = checked_name(name)
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise InvalidInputError([FieldProblem("/name", f"There is a user named {name} already.")])
    row: dict[str, Any] = dict.fromkeys(column.name for column in users.columns)
    row |= {"id": str(uuid7()), "name": name, "role": role.value, **scope.columns, **more}
    row["created_at"] = microseconds(datetime.now(UTC))
    connection.execute(insert(users), row)
    return user_of(row)


def checked_name(name: str) -> str:
    """Give the name as it is kept.

    Raises:
        InvalidInputError: it is none (`/name`).
    """
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        detail = "A name has up to 100 of a-z, 0-9 and ._@+- and begins with a letter or digit."
        raise InvalidInputError([FieldProblem("/name", detail)])
    return name


def check_has_password(row: Mapping[Any, Any]) -> None:
    """Check that a user is one of ours.

    Raises:
        ForbiddenError: a provider vouches for them, so they have no password.
    """
    if row["issuer"] is not None:
        raise ForbiddenError(
            f"{row['name']} signs in by {row['issuer']}, and has no password here."
        )


def _set(connection: Connection, row: Mapping[Any, Any], **values: Any) -> None:
    connection.execute(update(users).where(users.c.id == row["id"]).values(**values))


def _check_others(connection: Connection, row: Mapping[Any, Any]) -> None:
    """Check that there is another administrator who can sign in."""
    if row["role"] != Role.ADMIN or row["disabled_at"] is not None:
        return
    others = select(func.count()).where(
        users.c.role == Role.ADMIN.value,
        users.c.disabled_at.is_(None),
        users.c.id != row["id"],
        users.c.password.is_not(None) | users.c.issuer.is_not(None),
    )
    if not connection.scalar(others):
        raise LastAdminError(row["name"])
