"""Values out of an event's data, made fit for the tables: anybody's worker may have written them.

Nothing here raises: one odd event must not stop the recorder. What cannot be read is unknown.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celeriac.history.instants import microseconds

LONGEST_NAME = 255
"""An AMQP short string has no more; PostgreSQL indexes values up to about 2,700 bytes."""
MOST_TAGS = 100
LARGEST_NUMBER = 2**31 - 1

Reader = Callable[[Any], Any]


def text(value: Any) -> str | None:
    """Read a text of any length; any other value is shown as what `str` makes of it."""
    return None if value is None else storable(str(value))


def name(value: Any) -> str | None:
    """Read a text that is indexed."""
    return storable(value[:LONGEST_NAME]) if isinstance(value, str) and value else None


def mapping(value: Any) -> Mapping[str, Any]:
    """Read an object."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> int | None:
    """Read a small whole number, such as an attempt or a priority."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= LARGEST_NUMBER else None


def amount(value: Any) -> int | float | None:
    """Read a number of any kind."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def instant(value: Any) -> int | None:
    """Read an instant (RFC 3339) as microseconds."""
    try:
        return microseconds(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        return None


def json_text(value: Any) -> str | None:
    """Write a value as compact JSON; null counts as unknown."""
    if value is None:
        return None
    try:
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (RecursionError, TypeError, ValueError):
        return None
    return storable(written)


def tags(value: Any) -> str | None:
    """Read a list of tags as JSON, each once."""
    if not isinstance(value, (list, tuple)):
        return None
    names = dict.fromkeys(name(tag) for tag in value)
    return json_text([tag for tag in names if tag][:MOST_TAGS] or None)


def storable(value: str) -> str:
    """Replace what PostgreSQL (NUL) or UTF-8 (half a surrogate pair) cannot hold."""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value
