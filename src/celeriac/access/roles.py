"""The three roles: each may do what the ones before it may."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Give its place among the roles; who has a higher one may do more."""
        return list(Role).index(self)

    def includes(self, other: "Role") -> bool:
        """Tell whether it may do all that the other may."""
        return self.rank >= other.rank

    @property
    def words(self) -> str:
        """Say what it may do, for a person who chooses one."""
        return _WORDS[self]


_WORDS: Final = {
    Role.VIEWER: "sees everything and changes nothing",
    Role.OPERATOR: "also submits, cancels, resubmits and replays runs, pauses queues, ends workers",
    Role.ADMIN: "also manages users and tokens, purges queues, reads the audit trail",
}


def lower(one: Role, other: Role) -> Role:
    """Give that of two roles that may do less."""
    return one if other.includes(one) else other
