"""From the words of a query to the runs that it asks for, for API, pages and command line."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history import RunFilter
from celeriac.runs.run import RunState

SEVERAL = {"task": "tasks", "state": "states", "tag": "tags"}
ONE = {"queue": "queue", "worker": "worker", "parent": "parent_id", "root": "root_id", "q": "text"}
INSTANTS = ("since", "until")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run_filter(words: Mapping[str, Sequence[str]], now: datetime | None = None) -> RunFilter:
    """Read a query: `task`, `state` and `tag` may stand several times, the others once.

    `since` and `until` are instants (RFC 3339 with an offset) or ages such as `15m`, `1h`, `7d`.

    Raises:
        InvalidInputError: a value makes no sense; it is named by a pointer such as `/state`.
    """
    given = {name: [v for v in values if v] for name, values in words.items()}
    several = {field: tuple(given.get(name, ())) for name, field in SEVERAL.items()}
    one = {field: given[name][0] for name, field in ONE.items() if given.get(name)}
    instants = {
        name: _instant(name, given[name][0], now or datetime.now(UTC))
        for name in INSTANTS
        if given.get(name)
    }
    for state in several["states"]:
        if state not in RunState.__members__:
            known = ", ".join(RunState)
            raise InvalidInputError([FieldProblem("/state", f"{state!r} is none of {known}.")])
    return RunFilter(**several, **one, **instants)  # type: ignore[arg-type]


def _instant(name: str, text: str, now: datetime) -> datetime:
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
        raise InvalidInputError([FieldProblem(f"/{name}", detail)])
    return instant
