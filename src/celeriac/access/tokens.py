"""API tokens: shown once, kept as a digest, limited, and dead at once when they are revoked.

A token never may more than its owner may at the moment: whose role shrinks, whose tokens shrink.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from celeriac.access import audit
from celeriac.access.audit import Entry
from celeriac.access.errors import ForbiddenError, UnknownTokenError
from celeriac.access.identity import Identity, Means
from celeriac.access.roles import Role, lower
from celeriac.access.scope import Scope
from celeriac.access.secret import digest_of, new_secret
from celeriac.access.tables import tokens, users
from celeriac.access.touching import TOUCHED_EVERY, touch
from celeriac.access.users import User
from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history.database import Database
from celeriac.history.instants import instant, instant_or_none, microseconds

SHAPE: Final = re.compile(r"cel_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
"""A prefix of its own, so that scanners find a token that somebody committed."""
LONGEST_LABEL: Final = 100


@dataclass(frozen=True)
class Token:
    """What is known of a token; what opens doors is not."""

    id: str
    label: str
    owner: str
    role: Role
    scope: Scope
    created_at: datetime
    ends_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None

    @property
    def is_live(self) -> bool:
        """Tell whether it still opens anything."""
        has_ended = self.ends_at is not None and self.ends_at <= datetime.now(UTC)
        return self.revoked_at is None and not has_ended

    def as_json(self) -> dict[str, Any]:
        """Give it for programs."""
        ends = {n: getattr(self, n) for n in ("created_at", "ends_at", "used_at", "revoked_at")}
        return {
            "id": self.id,
            "label": self.label,
            "owner": self.owner,
            "role": self.role,
            "tasks": self.scope.tasks,
            "queues": self.scope.queues,
            **{name: at.isoformat() if at else None for name, at in ends.items()},
        }


@dataclass(frozen=True)
class TokenOrder:
    """What a new token shall be."""

    label: str
    role: Role
    scope: Scope = Scope()  # noqa: RUF009 - frozen
    lifetime: timedelta | None = None


class Tokens:
    """All tokens. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, who: Identity, owner: User, order: TokenOrder) -> tuple[Token, str]:
        """Make a token; gives it, and its text, which nobody can look up later.

        Raises:
            InvalidInputError: the label is none, or the lifetime is over already.
            ForbiddenError: it would be able to do more than its owner may.
        """
        with self._database.write() as connection:
            return insert_token(connection, who, owner, order)

    def find(self, text: str) -> Identity | None:
        """Give who it is that sends this token, if it still opens anything."""
        if not (shape := SHAPE.fullmatch(text)):
            return None
        query = select(tokens, users.c.name.label("owner"), users.c.role.label("owner_role"))
        query = query.add_columns(
            users.c.tasks.label("own_tasks"), users.c.queues.label("own_queues")
        )
        query = query.join_from(tokens, users, tokens.c.user_id == users.c.id)
        live = query.where(tokens.c.id == shape[1], users.c.disabled_at.is_(None))
        with self._database.read() as connection:
            row = connection.execute(live).mappings().one_or_none()
        if row is None or not compare_digest(row["digest"], digest_of(shape[2])):
            return None
        token, now = _token_of(row), datetime.now(UTC)
        if not token.is_live:
            return None
        if token.used_at is None or now - token.used_at > TOUCHED_EVERY:
            mine = update(tokens).where(tokens.c.id == token.id)
            touch(self._database, mine.values(used_at=microseconds(now)))
        return _identity_of(token, row)

    def all(self, owner_id: str | None = None) -> list[Token]:
        """Give all tokens, or a user's, the newest first."""
        query = select(tokens, users.c.name.label("owner"))
        query = query.join_from(tokens, users, tokens.c.user_id == users.c.id)
        if owner_id is not None:
            query = query.where(tokens.c.user_id == owner_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(tokens.c.created_at.desc())).mappings()
            return [_token_of(row) for row in rows]

    def revoke(self, who: Identity, token_id: str, owner_id: str | None = None) -> None:
        """Let a token open nothing any more, from the next request on.

        Raises:
            UnknownTokenError: there is none, or it is not the owner's.
        """
        mine = tokens.c.id == token_id
        if owner_id is not None:
            mine &= tokens.c.user_id == owner_id
        now = microseconds(datetime.now(UTC))
        with self._database.write() as connection:
            row = connection.execute(select(tokens).where(mine)).mappings().one_or_none()
            if row is None:
                raise UnknownTokenError(token_id)
            if row["revoked_at"] is None:
                connection.execute(update(tokens).where(mine).values(revoked_at=now))
                said = Entry.by(who, "token.revoke", token_id, detail={"label": row["label"]})
                audit.append(connection, [said])


def insert_token(
    connection: Connection, who: Identity, owner: User, order: TokenOrder
) -> tuple[Token, str]:
    """Make a token, as `Tokens.create` does, in the transaction of what it comes of.

    Raises:
        InvalidInputError: the label is none, or the lifetime is over already.
        ForbiddenError: it would be able to do more than its owner may.
    """
    _check(owner, order)
    token_id, secret, now = secrets.token_hex(6), new_secret(), datetime.now(UTC)
    ends_at = now + order.lifetime if order.lifetime else None
    row: dict[str, Any] = dict.fromkeys(column.name for column in tokens.columns)
    row |= {"id": token_id, "digest": digest_of(secret), "label": order.label.strip()}
    row |= {"user_id": owner.id, "role": order.role.value, **order.scope.columns}
    row |= {"created_at": microseconds(now), "ends_at": ends_at and microseconds(ends_at)}
    connection.execute(insert(tokens), row)
    told = {"label": row["label"], "owner": owner.name, "role": order.role, "ends": ends_at}
    detail = {**told, **order.scope.columns}
    audit.append(connection, [Entry.by(who, "token.create", token_id, detail=detail)])
    return _token_of({**row, "owner": owner.name}), f"cel_{token_id}_{secret}"


def _check(owner: User, order: TokenOrder) -> None:
    if not 0 < len(order.label.strip()) <= LONGEST_LABEL or "\0" in order.label:
        detail = f"Say in 1 to {LONGEST_LABEL} characters what it is for."
        raise InvalidInputError([FieldProblem("/label", detail)])
    if order.lifetime is not None and not timedelta() < order.lifetime <= timedelta(days=36_500):
        raise InvalidInputError([FieldProblem("/days", "Give a number of days from now.")])
    if not owner.role.includes(order.role):
        raise ForbiddenError(
            f"{owner.name} is {owner.role}, so a token of theirs cannot be {order.role}."
        )


def _token_of(row: Mapping[Any, Any]) -> Token:
    ends = (instant_or_none(row[name]) for name in ("ends_at", "used_at", "revoked_at"))
    scope = Scope.read(row["tasks"], row["queues"])
    created_at = instant(row["created_at"])
    return Token(row["id"], row["label"], row["owner"], Role(row["role"]), scope, created_at, *ends)


def _identity_of(token: Token, row: Mapping[Any, Any]) -> Identity:
    return Identity(
        token.owner,
        lower(token.role, Role(row["owner_role"])),
        Means.TOKEN,
        row["user_id"],
        token_id=token.id,
        ends_at=token.ends_at,
        scopes=(token.scope, Scope.read(row["own_tasks"], row["own_queues"])),
    )
