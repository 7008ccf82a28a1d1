"""The rows of the list, and how many there are in all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from celeriac.marks import is_mark, readable
from celeriac.runs import RunCount, RunFilter, RunHistory, RunList
from celeriac.web.run_view import RunView

GLANCE_MAX: Final = 160
COUNTED_MAX: Final = 10_000
FOUND_MAX: Final = 1_000
"""How far runs with a text are counted: no index finds them."""
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))


@dataclass(frozen=True)
class RunRow(RunView):
    """A run as the list shows it."""

    @property
    def arguments_line(self) -> str:
        """Give the arguments at a glance."""
        return glance(self.run.args)


def total_of(history: RunHistory, wanted: RunFilter, cursor: str | None, page: RunList) -> RunCount:
    """Count the runs that the filter finds, which a page that has them all tells by itself.

    Raises:
        HistoryUnavailableError
    """
    if cursor is None and page.next_cursor is None:
        return RunCount(len(page.runs), False)
    return history.count(wanted, FOUND_MAX if wanted.text else COUNTED_MAX)


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
        if is_mark(value):
            return str(readable(value))[: GLANCE_MAX + 1]
        for part in _ENCODER.iterencode(readable(value)):
            text += part[: GLANCE_MAX + 1]
            if len(text) > GLANCE_MAX:
                break
    except RecursionError:
        return "…"
    return text


def _cut(line: str) -> str:
    return line if len(line) <= GLANCE_MAX else f"{line[: GLANCE_MAX - 1]}…"
