"""What the values of some settings may be, and what is wrong with one, in words."""

import re
from typing import Annotated, Literal, get_args
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

SHORTEST_KEY = 32
"""How many characters a key for messages has at least."""
SHORTEST_PASSWORD = 16
"""How many characters Flower's password has at least, since Flower lets people guess on."""


def names_in(text: str) -> tuple[str, ...]:
    """Give the names that a text separates by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def keys_in(text: str) -> dict[str, bytes]:
    """Give the keys that a text names, such as `new:SECRET,old:SECRET`, in their order.

    Raises:
        ValueError: one is no name and secret, or too short; the message never shows it.
    """
    keys: dict[str, bytes] = {}
    for number, word in enumerate(names_in(text), start=1):
        name, colon, secret = word.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
            raise ValueError(f"entry {number} is not NAME:SECRET; separate entries by commas")
        if len(secret) < SHORTEST_KEY:
            raise ValueError(
                f"the key {name!r} is shorter than {SHORTEST_KEY} characters; "
                "make one with: openssl rand -hex 32"
            )
        if name in keys:
            raise ValueError(f"two keys are called {name!r}")
        keys[name] = secret.encode()
    if not keys:
        raise ValueError("names no key; give NAME:SECRET")
    return keys


def _readable_keys(text: SecretStr) -> SecretStr:
    keys_in(text.get_secret_value())
    return text


def pairs_in(text: str) -> tuple[tuple[str, str], ...]:
    """Give the pairs of a text such as `a=1,b=2`; the first of each may have an = itself."""
    return tuple((left.strip(), right.strip()) for left, _, right in map(_parted, names_in(text)))


def _parted(pair: str) -> tuple[str, str, str]:
    return pair.rpartition("=")


def _role_of_each(text: str) -> str:
    for group, role in pairs_in(text):
        if not group or role not in get_args(RoleName):
            words = ", ".join(get_args(RoleName))
            raise ValueError(f"has no GROUP=ROLE in {group or role!r}; a role is one of {words}")
    return text


def _user_and_password(text: SecretStr) -> SecretStr:
    """Check what Flower takes: it separates users by commas."""
    user, colon, password = text.get_secret_value().partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9_.-]+", user):
        raise ValueError("is not USER:PASSWORD")
    if len(password) < SHORTEST_PASSWORD or not re.fullmatch(r"[!-+\--~]+", password):
        raise ValueError(
            f"has a password with a space or a comma, or with less than {SHORTEST_PASSWORD} "
            "characters; make one with: openssl rand -hex 32"
        )
    return text


def _none_without_password(text: object) -> object:
    """Take a user without a password for none: Compose cannot leave out what it put together."""
    return None if isinstance(text, str) and text.endswith(":") else text


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no IANA time zone, such as Asia/Dhaka or UTC")
    return name


def _no_lane(names: str) -> str:
    taken = [name for name in names_in(names) if name.endswith((".high", ".dead"))]
    if taken:
        raise ValueError(f"{taken[0]!r} ends in .high or .dead, which are parts of other queues")
    return names


def _rate(text: str) -> str:
    """Check a rate by a part of the library's grammar, so that settings need not import it."""
    if text.lower() == OFF:
        return OFF
    if not RATE.fullmatch(text):
        raise ValueError(f"{text!r} is no rate, such as 600/minute or 10/5 minutes, nor `{OFF}`")
    return text


OFF = "off"
RATE = re.compile(r"[1-9]\d{0,8} ?/ ?([1-9]\d{0,3} ?)?(second|minute|hour|day)s?")
RoleName = Literal["viewer", "operator", "admin"]
RolesOfGroups = Annotated[str, AfterValidator(_role_of_each)]
Port = Annotated[int, Field(ge=1, le=65535)]
QueueNames = Annotated[str, AfterValidator(_no_lane)]
TimeZone = Annotated[str, AfterValidator(_known_zone)]
MessageKeys = Annotated[SecretStr, AfterValidator(_readable_keys)]
Rate = Annotated[str, AfterValidator(_rate)]
BasicAuth = Annotated[
    Annotated[SecretStr, AfterValidator(_user_and_password)] | None,
    BeforeValidator(_none_without_password),
]
