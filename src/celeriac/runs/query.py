"""From the words of a query to the runs that it asks for, for API, pages and command line."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history import RunFilter
from celeriac.runs.run import RunState

ONE = {
    "queue": "queue", "worker": "worker", "parent": "parent_id", "root": "root_id",
    "fingerprint": "fingerprint", "q": "text",
}  # fmt: skip
SEVERAL = {"task": "tasks", "state": "states", "tag": "tags", "ids": "ids"}
INSTANTS = ("since", "until", "finished_since", "finished_until")
EMPTY = "Give it a value, or leave it out."
_AGO = re.compile(r"(\d{1,6})([smhd])")
_LOST_PLUS = re.compile(r"T.* \d\d:?\d\d$")
"""An address has a space where somebody wrote +."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run_filter(words: Mapping[str, Sequence[str]], now: datetime | None = None) -> RunFilter:
    """Read a query: `task`, `state`, `tag` and `ids` may stand several times, the others once.

    `since` and `until`, of the submission and of the end, are instants (RFC 3339 with an offset) or
    ages such as `15m`, `1h`, `7d`.

    Raises:
        InvalidInputError: a value makes no sense; it is named by a pointer such as `/state`. An
            empty one would be passed over, and so mean more runs than the others do.
    """
    if empty := [name for name, values in words.items() if not all(values)]:
        raise InvalidInputError([FieldProblem(f"/{name}", EMPTY) for name in empty])
    _check_text(words)
    several = {field: tuple(words.get(name, ())) for name, field in SEVERAL.items()}
    one = {field: words[name][0] for name, field in ONE.items() if words.get(name)}
    instants = {
        name: instant_of(name, words[name][0], now or datetime.now(UTC))
        for name in INSTANTS
        if words.get(name)
    }
    for state in several["states"]:
        if state not in RunState.__members__:
            known = ", ".join(RunState)
            raise InvalidInputError([FieldProblem("/state", f"{state!r} is none of {known}.")])
    return RunFilter(**several, **one, **instants)  # type: ignore[arg-type]


def words_of(wanted: RunFilter) -> dict[str, list[str]]:
    """Write the query that asks for the same runs."""
    words = {name: list(getattr(wanted, field)) for name, field in SEVERAL.items()}
    words |= {name: [found] for name, field in ONE.items() if (found := getattr(wanted, field))}
    words |= {name: [at.isoformat()] for name in INSTANTS if (at := getattr(wanted, name))}
    return {name: values for name, values in words.items() if values}


def _check_text(words: Mapping[str, Sequence[str]]) -> None:
    """Refuse half a surrogate pair: no identifier or name has one, and no database takes it."""
    for name, values in words.items():
        if any("\ud800" <= char <= "\udfff" for value in values for char in value):
            raise InvalidInputError([FieldProblem(f"/{name}", "This is no text in UTF-8.")])


def instant_of(name: str, text: str, now: datetime) -> datetime:
    """Read an instant (RFC 3339 with an offset) or an age such as `15m`, `1h`, `7d`.

    Raises:
        InvalidInputError: it is neither; the pointer is `/` and the name.
    """
    try:
        ago = _AGO.fullmatch(text)
        instant = (
            now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            if ago
            else datetime.fromisoformat(text)
        )
    except (ValueError, OverflowError):
        instant = None
    if instant is None or instant.tzinfo is None:
        detail = "Write an instant such as 2030-01-31T09:00:00Z, or an age such as 1h or 7d."
        if _LOST_PLUS.search(text):
            detail += " In an address the + of an offset is written %2B."
        raise InvalidInputError([FieldProblem(f"/{name}", detail)])
    return instant
