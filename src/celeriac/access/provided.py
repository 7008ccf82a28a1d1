"""Users that a provider vouches for: made when they come first, found by its own name for them.

Never by the name they have here: whoever is free to choose that would become anybody.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from celeriac.access import audit
from celeriac.access.audit import Entry
from celeriac.access.errors import NameTakenError, NoRoleError, UserDisabledError
from celeriac.access.identity import Identity, Means
from celeriac.access.roles import Role
from celeriac.access.scope import Scope
from celeriac.access.tables import users
from celeriac.access.users import User, insert_user, user_of
from celeriac.history.database import Database


@dataclass(frozen=True)
class Person:
    """Whom a provider has sent: its own lasting name for them is the subject.

    A role that `is_decided` holds at every sign-in; else it is for who comes for the first time.
    """

    issuer: str
    subject: str
    name: str
    role: Role | None
    is_decided: bool


class ProvidedUsers:
    """The users of providers. Every method can raise HistoryUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def welcome(self, person: Person, address: str = "") -> User:
        """Give the user that somebody is here, made or changed as the provider says.

        Raises:
            NoRoleError: nothing that the provider says of them gives a role.
            NameTakenError: somebody else has the name here.
            UserDisabledError: an administrator has disabled them.
        """
        with self._database.write() as connection:
            mine = (users.c.issuer == person.issuer) & (users.c.subject == person.subject)
            row = connection.execute(select(users).where(mine)).mappings().one_or_none()
            if row is None:
                return _added(connection, person, address)
            user = user_of(row)
            if user.disabled_at is not None:
                raise UserDisabledError(user.name)
            if not person.is_decided or person.role is user.role:
                return user
            if person.role is None:
                raise NoRoleError(user.name)
            connection.execute(update(users).where(mine).values(role=person.role.value))
            said = {"from": {"role": user.role}, "to": {"role": person.role}}
            who = Identity(user.name, person.role, Means.OIDC, user.id, address=address)
            audit.append(connection, [Entry.by(who, "user.change", user.name, detail=said)])
            return user_of({**row, "role": person.role.value})


def _added(connection: Connection, person: Person, address: str) -> User:
    if person.role is None:
        raise NoRoleError(person.name)
    taken = select(users.c.id).where(users.c.name == person.name)
    if connection.scalar(taken) is not None:
        raise NameTakenError(person.name)
    told = {"issuer": person.issuer, "subject": person.subject}
    user = insert_user(connection, person.name, person.role, Scope(), **told)
    who = Identity(user.name, user.role, Means.OIDC, user.id, address=address)
    said = {"role": user.role, **told}
    audit.append(connection, [Entry.by(who, "user.add", user.name, detail=said)])
    return user
