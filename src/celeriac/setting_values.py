"""What the values of some settings may be, and what is wrong with one, in words."""

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field


def names_in(text: str) -> tuple[str, ...]:
    """Give the names that a text separates by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no IANA time zone, such as Asia/Dhaka or UTC")
    return name


def _no_lane(names: str) -> str:
    taken = [name for name in names_in(names) if name.endswith((".high", ".dead"))]
    if taken:
        raise ValueError(f"{taken[0]!r} ends in .high or .dead, which are parts of other queues")
    return names


Port = Annotated[int, Field(ge=1, le=65535)]
QueueNames = Annotated[str, AfterValidator(_no_lane)]
TimeZone = Annotated[str, AfterValidator(_known_zone)]
