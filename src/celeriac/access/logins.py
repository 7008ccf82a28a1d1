"""Logins of command lines: asked for in a terminal, approved in a browser, ended by a token.

As in the device flow of OAuth (RFC 8628): the terminal has a secret, and a short code that the
person finds again in the browser. The token is made when the terminal fetches it, so nothing that
opens a door waits in the database.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, insert, select, update

from celeriac.access import audit
from celeriac.access.audit import Entry
from celeriac.access.errors import (
    ForbiddenError,
    LoginDeniedError,
    LoginLostError,
    TooManyLoginsError,
)
from celeriac.access.identity import Identity, Means
from celeriac.access.roles import Role
from celeriac.access.secret import digest_of, new_secret
from celeriac.access.tables import logins, users
from celeriac.access.tokens import LONGEST_LABEL, Token, TokenOrder, insert_token
from celeriac.access.users import User, user_of
from celeriac.history.database import Database
from celeriac.history.instants import instant, microseconds

LASTS: Final = timedelta(minutes=10)
MOST_WAITING: Final = 1000
MOST_OF_ONE: Final = 20
"""Strangers may ask; this is how much room all of them, and one address, can take."""
LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""None that looks like a digit, and no vowels to write words with."""
DENIED: Final = "denied"


@dataclass(frozen=True)
class Login:
    """One that waits: `label` is what the terminal calls itself, `address` where it asks from."""

    code: str
    label: str
    address: str
    ends_at: datetime


class Logins:
    """All logins that wait. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, label: str, address: str) -> tuple[Login, str]:
        """Let a terminal wait; gives the login, and the secret that its token is fetched by.

        Raises:
            TooManyLoginsError: too many wait.
        """
        secret, now = new_secret(), datetime.now(UTC)
        half = "".join(secrets.choice(LETTERS) for _ in range(8))
        label = "".join(c for c in label if c.isprintable()).strip()[: LONGEST_LABEL - 20]
        login = Login(f"{half[:4]}-{half[4:]}", label or "a terminal", address[:100], now + LASTS)
        row = {**vars(login), "id": digest_of(secret), "ends_at": microseconds(login.ends_at)}
        with self._database.write() as connection:
            connection.execute(delete(logins).where(logins.c.ends_at <= microseconds(now)))
            _check_room(connection, login.address)
            connection.execute(insert(logins), row)
        return login, secret

    def find(self, code: str) -> Login:
        """Give the login that waits with this code, however it is typed.

        Raises:
            LoginLostError: none does.
        """
        with self._database.read() as connection:
            return _login_of(_waiting(connection, logins.c.code == _code_of(code)))

    def approve(self, who: Identity, user: User, code: str, role: Role, days: int) -> Login:
        """Let the terminal fetch a token of this user's.

        Raises:
            LoginLostError: none waits with this code.
            ForbiddenError: the token would be able to do more than the user may.
        """
        if not user.role.includes(role):
            raise ForbiddenError(f"{user.name} is {user.role}, and cannot approve {role}.")
        values = {"user_id": user.id, "role": role.value, "days": days}
        return self._decide(who, code, values, "login.approve")

    def deny(self, who: Identity, code: str) -> Login:
        """Refuse it to the terminal.

        Raises:
            LoginLostError: none waits with this code.
        """
        return self._decide(who, code, {"role": DENIED}, "login.deny")

    def collect(self, secret: str, address: str = "") -> tuple[Token, str] | None:
        """Give the token to the terminal, once; None as long as nobody has decided.

        Raises:
            LoginLostError: it waited too long, or was ended.
            LoginDeniedError: somebody has refused it.
        """
        mine = logins.c.id == digest_of(secret)
        with self._database.write() as connection:
            row = _waiting(connection, mine, is_decided=None)
            if row["role"] is None:
                return None
            connection.execute(delete(logins).where(mine))
            if (owner := _owner(connection, row)) is not None:
                who = Identity(owner.name, owner.role, Means.LOGIN, owner.id, address=address)
                return insert_token(connection, who, owner, _order_of(row))
        raise LoginDeniedError

    def _decide(self, who: Identity, code: str, values: dict[str, Any], action: str) -> Login:
        with self._database.write() as connection:
            row = _waiting(connection, logins.c.code == _code_of(code))
            connection.execute(update(logins).where(logins.c.id == row["id"]).values(values))
            told = {"label": row["label"], "address": row["address"]}
            audit.append(connection, [Entry.by(who, action, who.name, detail=told)])
        return _login_of(row)


def _check_room(connection: Connection, address: str) -> None:
    mine = func.coalesce(func.sum(case((logins.c.address == address, 1), else_=0)), 0)
    every, own = connection.execute(select(func.count(), mine).select_from(logins)).one()
    if every >= MOST_WAITING or own >= MOST_OF_ONE:
        raise TooManyLoginsError


def _waiting(
    connection: Connection, which: Any, *, is_decided: bool | None = False
) -> Mapping[Any, Any]:
    query = select(logins).where(which, logins.c.ends_at > microseconds(datetime.now(UTC)))
    if is_decided is False:
        query = query.where(logins.c.role.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise LoginLostError
    return row


def _owner(connection: Connection, row: Mapping[Any, Any]) -> User | None:
    query = select(users).where(users.c.id == row["user_id"], users.c.disabled_at.is_(None))
    found = connection.execute(query).mappings().one_or_none()
    return user_of(found) if found else None


def _order_of(row: Mapping[Any, Any]) -> TokenOrder:
    label, lifetime = f"celeriac login, {row['label']}", timedelta(days=row["days"])
    return TokenOrder(label, Role(row["role"]), lifetime=lifetime)


def _code_of(typed: str) -> str:
    letters = "".join(c for c in typed.upper() if c in LETTERS)
    return f"{letters[:4]}-{letters[4:]}"


def _login_of(row: Mapping[Any, Any]) -> Login:
    return Login(row["code"], row["label"], row["address"], instant(row["ends_at"]))
