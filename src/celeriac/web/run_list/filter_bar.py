"""The filter bar: menus, a chip for each state, and what else is asked for, to be removed again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from celeriac.runs import Names, RunState
from celeriac.web.look import STATES, StateLook, short_id
from celeriac.web.run_list.address import EVER, LABELS, RANGES, Query

INSTANTS: Final = ("since", "until", "finished_since", "finished_until")
_AGO: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SELECTS: Final = (("task", "Any task"), ("queue", "Any queue"), ("worker", "Any worker"))


@dataclass(frozen=True)
class Chip:
    """A filter that is on, and the address without it."""

    label: str
    value: str
    href: str
    at: datetime | None = None
    """The instant that the value is, which pages show in the viewer's zone."""


@dataclass(frozen=True)
class StateChip:
    """A state, whether it is asked for, and the address with that turned over."""

    look: StateLook
    is_on: bool
    href: str


@dataclass(frozen=True)
class Select:
    """One menu of the filter bar: its options as values and words."""

    name: str
    label: str
    chosen: str
    options: tuple[tuple[str, str], ...]


def selects_of(query: Query, names: Names) -> Iterator[Select]:
    """Give the menus of the filter bar; what is asked for can be chosen though nobody knows it."""
    known = {"task": names.tasks, "queue": names.queues, "worker": names.workers}
    for name, any_word in SELECTS:
        chosen = query.first(name)
        values = sorted({*known[name], *filter(None, [chosen])})
        options = (("", any_word), *((value, value) for value in values))
        yield Select(name, LABELS[name], chosen, options)
    since = query.first("since")
    ranges = RANGES | ({since: _since_words(since)} if since else {})
    yield Select("since", "Time range", since, (("", "Any time"), *ranges.items()))


def state_chips(query: Query) -> Iterator[StateChip]:
    """Give a chip for each state."""
    for state in RunState:
        yield StateChip(STATES[state], query.has("state", state), query.toggled("state", state))


def tags_of(query: Query, names: Names) -> list[str]:
    """Give the tags that the field offers: those not asked for yet; others can be typed."""
    return sorted(tag for tag in names.tags if not query.has("tag", tag))


def chips_of(query: Query) -> Iterator[Chip]:
    """Give what else is asked for, to be removed one by one."""
    for name, value in query.pairs:
        if name in LABELS:
            at = _instant(value) if name in INSTANTS else None
            words = _chip_words(name, value)
            yield Chip(LABELS[name], words, query.toggled(name, value), at)


def _chip_words(name: str, value: str) -> str:
    if name in ("parent", "root"):
        return short_id(value)
    return _time_words(value) if name in INSTANTS else value


def _since_words(value: str) -> str:
    words = _time_words(value)
    return f"since {words}" if _instant(value) and value != EVER else words


def _time_words(value: str) -> str:
    """Write an instant, or an age, as people say it."""
    if value == EVER:
        return "All of it"
    if at := _instant(value):
        return f"{at:%Y-%m-%d %H:%M:%S} UTC"
    ago = _AGO.fullmatch(value)
    return RANGES.get(value) or (f"Last {ago[1]} {_UNITS[ago[2]]}" if ago else value)


def _instant(value: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo and value != EVER else None
