"""Examples in the documentation: found, and compared with what really comes.

An example is a fenced block `sh` with one command, and the block that follows it with what it
prints. In what is shown, `…` stands for what differs each time:

- a text with `…` in it matches every text that agrees with the rest of it;
- a number matches every number, everything else must be the same;
- the name "…" says that there may be further names, "…" as an item that there may be more items;
- a line `…` before JSON says that other lines come first.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MORE = "…"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A command, and what it prints."""

    command: str
    shown: str

    @property
    def call(self) -> str:
        """Give method and path of the request, without what varies."""
        method = re.search(r"-X ([A-Z]+)", self.command)
        has_body = re.search(r" (-d|--data-binary|--json) ", self.command)
        path = re.search(r"://[^/\s]+([^\s?'\"]+)", self.command)
        assert path, self.command
        return f"{method[1] if method else 'POST' if has_body else 'GET'} {path[1]}"


def blocks(page: Path) -> list[tuple[str, str]]:
    """Give the fenced blocks of a page: their languages and texts."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def examples(page: Path) -> Iterator[Example]:
    """Give the commands of a page with what each prints."""
    found = blocks(page)
    for (language, command), (_, shown) in itertools.pairwise(found):
        if language == "sh" and "curl" in command:
            yield Example(command, shown)


def difference(shown: Any, real: Any, where: str = "") -> str | None:
    """Tell where a JSON value is not as shown, or None."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return _of_objects(shown, real, where)
    if isinstance(shown, list) and isinstance(real, list):
        return _of_lists(shown, real, where)
    is_same = shown == real
    if isinstance(shown, str) and isinstance(real, str):
        is_same = matches(shown, real)
    elif _is_number(shown) and _is_number(real):
        is_same = True
    return None if is_same else f"{where or 'all of it'}: {shown!r} is shown, {real!r} comes"


def matches(shown: str, real: str) -> bool:
    """Tell whether a text is as shown."""
    return re.fullmatch(".*".join(map(re.escape, shown.split(MORE))), real, re.DOTALL) is not None


def json_lines(text: str) -> list[Any]:
    """Read one JSON value or several, as lines or spread over lines."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(text.rstrip()):
        value, place = decoder.raw_decode(text, place)
        found.append(value)
        place += len(text[place:]) - len(text[place:].lstrip())
    return found


def _of_objects(shown: dict[str, Any], real: dict[str, Any], where: str) -> str | None:
    names = shown.keys() - {MORE}
    if missing := names - real.keys():
        return f"{where}: {sorted(missing)} shown and not there"
    if MORE not in shown and (others := real.keys() - names):
        return f"{where}: {sorted(others)} there and not shown"
    found = (difference(shown[name], real[name], f"{where}/{name}") for name in sorted(names))
    return next(filter(None, found), None)


def _of_lists(shown: list[Any], real: list[Any], where: str) -> str | None:
    items = [item for item in shown if item != MORE]
    if len(real) < len(items) or (len(real) > len(items) and len(items) == len(shown)):
        return f"{where}: {len(items)} items are shown, {len(real)} come"
    pairs = zip(items, real, strict=False)
    found = (difference(one, other, f"{where}/{n}") for n, (one, other) in enumerate(pairs))
    return next(filter(None, found), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
