"""The page of all runs: what the history holds, filtered and paged by the address alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import Names, RunFilter, RunList, Runs, RunState, run_filter
from celeriac.web.context import runs
from celeriac.web.look import STATES, StateLook, short_id
from celeriac.web.run_view import RunView

EVER: Final = "1970-01-01T00:00:00Z"
RANGES: Final = {"1h": "Last hour", "1d": "Last day", "7d": "Last 7 days"}
LABELS: Final = {
    "task": "Task",
    "queue": "Queue",
    "worker": "Worker",
    "tag": "Tag",
    "since": "Time",
    "until": "Until",
    "parent": "Started by",
    "root": "Family of",
    "q": "Text",
}
"""What a filter is called where it can be removed; states have chips of their own."""
NAMES: Final = frozenset(LABELS) | {"state"}
SELECTS: Final = (("task", "Any task"), ("queue", "Any queue"), ("worker", "Any worker"))
GLANCE_MAX: Final = 160
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))

run_list = Blueprint("run_list", __name__)


@dataclass(frozen=True)
class Query:
    """What an address asks for, without what is empty or unknown."""

    pairs: tuple[tuple[str, str], ...]
    cursor: str | None = None

    @classmethod
    def of(cls, args: MultiDict[str, str]) -> Self:
        """Read an address; a form without scripts sends every field, filled or not."""
        pairs = ((name, value.strip()) for name, value in args.items(multi=True))
        kept = tuple((name, value) for name, value in pairs if name in NAMES and value)
        return cls(tuple(dict.fromkeys(kept)), args.get("cursor") or None)

    def lists(self) -> dict[str, list[str]]:
        """Give the values by name."""
        return MultiDict(self.pairs).to_dict(flat=False)

    def first(self, name: str) -> str:
        """Give the first value of this name, or an empty text."""
        return next((value for key, value in self.pairs if key == name), "")

    def has(self, name: str, value: str) -> bool:
        """Tell whether this is asked for."""
        return (name, value) in self.pairs

    def toggled(self, name: str, value: str) -> str:
        """Give the address with this asked for if it was not, and the other way round."""
        rest = tuple(pair for pair in self.pairs if pair != (name, value))
        return _address(rest if rest != self.pairs else (*rest, (name, value)))

    def replaced(self, name: str, value: str) -> str:
        """Give the address with this as the only value of its name."""
        return _address((*(pair for pair in self.pairs if pair[0] != name), (name, value)))

    @property
    def newest(self) -> str:
        """Give the address of the first page."""
        return _address(self.pairs)

    @property
    def here(self) -> str:
        """Give the address of this very page."""
        return self.older(self.cursor) if self.cursor else self.newest

    def older(self, cursor: str) -> str:
        """Give the address of the page that begins at the cursor."""
        return _address((*self.pairs, ("cursor", cursor)))

    def carried(self) -> list[tuple[str, str]]:
        """Give what the form sends along without showing a control for it."""
        shown = {(name, self.first(name)) for name in ("task", "queue", "worker", "since", "q")}
        return [pair for pair in self.pairs if pair not in shown]


@dataclass(frozen=True)
class Chip:
    """A filter that is on, and the address without it."""

    label: str
    value: str
    href: str


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


@dataclass(frozen=True)
class RunRow(RunView):
    """A run as the list shows it."""

    @property
    def arguments_line(self) -> str:
        """Give the arguments at a glance."""
        return glance(self.run.args)


@run_list.get("/runs")
def show() -> Response:
    """Show a page of runs; a page that refreshes itself gets its rows only."""
    query = Query.of(request.args)
    try:
        wanted = run_filter(query.lists())
        found = runs().find(wanted, query.cursor)
    except InvalidInputError as error:
        return _answer(_page(runs(), query, None, None, error.problems), 422)
    if "HX-Request" in request.headers:
        return _answer(render_template("runs_rows.html", **_rows(query, wanted, found)))
    return _answer(_page(runs(), query, wanted, found))


def _answer(html: str, status: int = 200) -> Response:
    """Answer so that going back never shows a part where the page was."""
    response = make_response(html, status)
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("HX-Request")
    return response


def _page(
    source: Runs,
    query: Query,
    wanted: RunFilter | None,
    found: RunList | None,
    problems: tuple[FieldProblem, ...] = (),
) -> str:
    return render_template(
        "runs.html",
        problems=problems,
        selects=tuple(selects_of(query, source.names())),
        states=tuple(state_chips(query)),
        chips=tuple(chips_of(query)),
        **_rows(query, wanted, found),
    )


def _rows(query: Query, wanted: RunFilter | None, found: RunList | None) -> Mapping[str, Any]:
    return {
        "query": query,
        "rows": [RunRow(run) for run in found.runs] if found else [],
        "older": query.older(found.next_cursor) if found and found.next_cursor else "",
        "is_bounded": wanted is not None and wanted.bounded() is not wanted,
        "everything": query.replaced("since", EVER),
    }


def _address(pairs: tuple[tuple[str, str], ...]) -> str:
    values: dict[str, Any] = MultiDict(pairs).to_dict(flat=False)
    return url_for("run_list.show", **values)


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


def chips_of(query: Query) -> Iterator[Chip]:
    """Give what else is asked for, to be removed one by one."""
    for name, value in query.pairs:
        if name in LABELS:
            yield Chip(LABELS[name], _chip_words(name, value), query.toggled(name, value))


def _chip_words(name: str, value: str) -> str:
    if name in ("parent", "root"):
        return short_id(value)
    return _since_words(value) if name == "since" else value


def _since_words(value: str) -> str:
    return "All of it" if value == EVER else RANGES.get(value, f"since {value}")


def glance(args: Any) -> str:
    """Write arguments on one line: by name where they have names, and cut where they are long."""
    if args is None or args in ({}, []):
        return ""
    if isinstance(args, dict):
        named = (f"{name}={_short_json(value)}" for name, value in args.items())
    else:
        named = (_short_json(value) for value in (args if isinstance(args, list) else [args]))
    return _cut(_joined(named))


def _joined(parts: Iterator[str]) -> str:
    """Join as many as are seen."""
    line = ""
    for part in parts:
        line = f"{line} · {part}" if line else part
        if len(line) > GLANCE_MAX:
            break
    return line


def _short_json(value: Any) -> str:
    """Write a value as JSON, no more of it than is seen."""
    if isinstance(value, str):
        return json.dumps(value[: GLANCE_MAX + 1], ensure_ascii=False)
    text = ""
    try:
        for part in _ENCODER.iterencode(value):
            text += part[: GLANCE_MAX + 1]
            if len(text) > GLANCE_MAX:
                break
    except RecursionError:
        return "…"
    return text


def _cut(line: str) -> str:
    return line if len(line) <= GLANCE_MAX else f"{line[: GLANCE_MAX - 1]}…"
