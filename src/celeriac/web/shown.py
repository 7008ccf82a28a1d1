"""Values as a page shows them: coloured where they are small, cut where they are long.

A browser takes seconds to lay out one very long line of some scripts, and a coloured value costs an
element for each of its words; so neither is ever made of more than a page's worth of text.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

from celeriac.marks import is_mark, readable
from celeriac.web.look import json_html

SHOWN_MAX: Final = 100_000
COLOURED_MAX: Final = 20_000
COUNTED_MAX: Final = 500_000
"""Characters of JSON that are written only to tell how many there are."""
LINE_MAX: Final = 2_000
SHORT_MAX: Final = 60
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, indent=2)


@dataclass(frozen=True)
class Shown:
    """A value as text; `left_out` says how much of it is missing, and is empty if nothing is."""

    text: str
    is_json: bool = False
    left_out: str = ""

    @property
    def is_short(self) -> bool:
        """Tell whether it fits on a line."""
        return len(self.text) <= SHORT_MAX and "\n" not in self.text

    @property
    def html(self) -> Markup:
        """Give the text as markup for a `<pre>`, in which it still is what would be copied."""
        lines = self.text.split("\n")
        if any(len(line) > LINE_MAX for line in lines):
            return Markup().join(_line(line) for line in _with_ends(lines))
        if self.is_json and not self.left_out and len(self.text) <= COLOURED_MAX:
            return json_html(self.text)
        return escape(self.text)


def shown(value: Any) -> Shown:
    """Write a value for a page: text as it is, the rest as JSON, unless it is nested too deep."""
    if is_mark(value):
        value = readable(value)
    if isinstance(value, str):
        return Shown(value[:SHOWN_MAX], left_out=_words(len(value) - SHOWN_MAX))
    try:
        return _shown_json(readable(value))
    except RecursionError:
        return Shown("", is_json=True, left_out="all")


def shown_end(text: str) -> Shown:
    """Write a text whose end matters most, such as a traceback."""
    return Shown(text[-SHOWN_MAX:], left_out=_words(len(text) - SHOWN_MAX))


def _shown_json(value: Any) -> Shown:
    parts: list[str] = []
    size = 0
    for part in _ENCODER.iterencode(value):
        if size < SHOWN_MAX:
            parts.append(part)
        size += len(part)
        if size > COUNTED_MAX:
            break
    words = _words(size - SHOWN_MAX)
    more = "more than " if size > COUNTED_MAX else ""
    return Shown("".join(parts)[:SHOWN_MAX], is_json=True, left_out=words and more + words)


def _words(characters: int) -> str:
    return f"{characters:,} characters" if characters > 0 else ""


def _with_ends(lines: list[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _line(line: str) -> Markup:
    """Let a browser lay out a long line in pieces: its work grows with the square of the length."""
    if len(line) <= LINE_MAX:
        return escape(line)
    pieces = (line[start : start + LINE_MAX] for start in range(0, len(line), LINE_MAX))
    return Markup().join(Markup('<span class="piece">{}</span>').format(p) for p in pieces)
