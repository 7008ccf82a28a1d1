"""Who asks: a person or a program, how they have shown it, and what they may do."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from celeriac.access.roles import Role
from celeriac.access.scope import Scope


class Means(StrEnum):
    """How somebody has shown who they are."""

    LOCAL = "local"
    """They are on this machine, which is enough where nobody has to sign in."""
    PASSWORD = "password"  # noqa: S105 - the word itself
    OIDC = "oidc"
    LINK = "link"
    TOKEN = "token"  # noqa: S105 - the word itself
    LOGIN = "login"
    """They have approved a command line's login."""
    CLI = "cli"
    """They have a shell on a machine that knows the database."""


@dataclass(frozen=True)
class Identity:
    """Who asks.

    `scopes` limit what they may operate: each of them has to allow it; `address` is theirs.
    A token ends at `ends_at`.
    """

    name: str
    role: Role
    means: Means
    user_id: str | None = None
    token_id: str | None = None
    session_id: str | None = field(default=None, repr=False)
    scopes: tuple[Scope, ...] = ()
    address: str = ""
    ends_at: datetime | None = None

    def may(self, role: Role) -> bool:
        """Tell whether they may do what this role may."""
        return self.role.includes(role)

    def may_use_task(self, name: str) -> bool:
        """Tell whether the task is in their reach."""
        return all(scope.has_task(name) for scope in self.scopes)

    def may_use_queue(self, name: str) -> bool:
        """Tell whether the queue is in their reach."""
        return all(scope.has_queue(name) for scope in self.scopes)

    @property
    def is_limited(self) -> bool:
        """Tell whether some tasks or queues are out of their reach."""
        return any(scope.is_limited for scope in self.scopes)


LOCAL = Identity("local", Role.ADMIN, Means.LOCAL)
"""Everybody, where nobody has to sign in."""
