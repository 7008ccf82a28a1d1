"""Passwords: what is one, and how it is kept (argon2id) and compared."""

import threading
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from celeriac.access.secret import new_secret
from celeriac.errors import FieldProblem, InvalidInputError

SHORTEST: Final = 12
LONGEST: Final = 256
AT_ONCE: Final = 4
"""Each takes 64 MiB for a moment; more at once would let strangers fill the memory."""

_hasher: Final = PasswordHasher()
_places: Final = threading.BoundedSemaphore(AT_ONCE)


def digest_of(password: str, name: str) -> str:
    """Give what is kept of a password.

    Raises:
        InvalidInputError: it is too short, too long, or the name itself.
    """
    if problem := _problem(password, name):
        raise InvalidInputError([FieldProblem("/password", problem)])
    with _places:
        return _hasher.hash(password)


def is_right(password: str, digest: str | None) -> bool:
    """Compare; takes the same time whether or not there is anything to compare with."""
    with _places:
        try:
            return _hasher.verify(digest or _nobodys(), password[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    """Give what to compare with where there is no password, so that the answer takes as long."""
    return _hasher.hash(new_secret())


def is_outdated(digest: str) -> bool:
    """Tell whether today's parameters are stronger than those it was made with."""
    return _hasher.check_needs_rehash(digest)


def _problem(password: str, name: str) -> str:
    if len(password) < SHORTEST:
        return f"Choose at least {SHORTEST} characters; a few words are easier to remember."
    if len(password) > LONGEST:
        return f"Choose at most {LONGEST} characters."
    if name and name.casefold() in password.casefold() and len(password) < len(name) + SHORTEST:
        return "It is little more than the name; choose another."
    return ""
