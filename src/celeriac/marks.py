"""What stands in the place of a value that is not kept: a mark, or a text that is cut.

The message to the worker and Celery's own result have every value whole. Events, live records and
the history have `{"$redacted": true}` for a secret and `{"$cut": {"size_bytes", "begins"}}` for
what is too large.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from celeriac.events import as_json

REDACTED, CUT = "$redacted", "$cut"
MAX_BYTES = 65_536
MAX_DEPTH = 100
"""How deeply values may be nested; Python, pydantic and browsers fail at what goes far beyond."""
BEGINS = 1_000
"""Characters that are kept of what is cut."""

Hidden = Callable[[str], bool]


def is_mark(value: Any) -> bool:
    """Tell whether this stands for a value that is not kept."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    return value.get(REDACTED) is True or isinstance(value.get(CUT), Mapping)


def readable(value: Any) -> Any:
    """Say in words what marks say, for people."""
    if is_mark(value):
        return _words(value)
    if isinstance(value, Mapping):
        return {name: readable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(item) for item in value]
    return value


def _words(mark: Mapping[str, Any]) -> str:
    if REDACTED in mark:
        return "⟨redacted⟩"
    size, begins = mark[CUT].get("size_bytes"), mark[CUT].get("begins", "")
    bytes_ = f"{size:,} bytes" if isinstance(size, int) else "too large"
    return f"⟨{bytes_}, not kept whole⟩ {begins}…"


@dataclass(frozen=True)
class Keeping:
    """What is kept of values: `redact` are names of arguments, in which `*` is any text."""

    redact: Sequence[str]
    max_bytes: int
    _hidden: Hidden = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hidden", hides(self.redact))

    def arguments(self, args: Mapping[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
        """Give named arguments with marks; `secrets` are those that their task declares as such."""

        def hidden(name: str) -> bool:
            return name in secrets or self._hidden(name)

        return self._fitting({name: _kept(name, args[name], hidden) for name in args})

    def value(self, value: Any) -> Any:
        """Give a value, or the mark of one that is too large or nested too deeply."""
        if _is_surely_small(value, self.max_bytes):
            return value
        text = _written(value)
        fits = _size(text) <= self.max_bytes and not _is_deep(value, text)
        return value if fits else _cut(text)

    def error(self, error: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Give an error whose texts are cut: of a message the end, of a traceback its middle."""
        if error is None:
            return None
        message, traceback = error["message"], error.get("traceback")
        return {
            "type": error["type"],
            "message": self._text(message, ends=0),
            "traceback": self._text(traceback, ends=self.max_bytes // 2)
            if traceback
            else traceback,
        }

    def _fitting(self, args: dict[str, Any]) -> dict[str, Any]:
        """Cut the largest arguments until all of them together are small enough."""
        texts = {name: _written(item) for name, item in args.items()}
        sizes = {name: _size(text) for name, text in texts.items()}
        left = sum(sizes.values())
        for name in sorted(sizes, key=lambda each: -sizes[each]):
            if left <= self.max_bytes:
                break
            left -= sizes[name]
            args[name] = _cut(texts[name])
        return args

    def _text(self, text: str, ends: int) -> str:
        """Cut a text to about so many bytes, of which `ends` are its last ones."""
        if len(text) * 4 <= self.max_bytes:
            return text
        written = text.encode("utf-8", "surrogatepass")
        if len(written) <= self.max_bytes:
            return text
        first, last = written[: self.max_bytes - ends], written[len(written) - ends :]
        note = f"… ⟨{len(written) - len(first) - len(last):,} bytes are not kept⟩"
        return note.join(part.decode("utf-8", "ignore") for part in (first, last))


def _kept(name: Any, value: Any, hidden: Hidden, depth: int = 0) -> Any:
    """Give what is kept of the value of this name."""
    if value is not None and hidden(str(name)):
        return {REDACTED: True}
    return _redacted(value, hidden, depth)


def _redacted(value: Any, hidden: Hidden, depth: int) -> Any:
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if depth == MAX_DEPTH:
        # Nobody has searched it for secrets, so nothing of it is shown.
        return {CUT: {"size_bytes": _size(_written(value)), "begins": ""}}
    if isinstance(value, Mapping):
        return {_key(n): _kept(n, item, hidden, depth + 1) for n, item in value.items()}
    return [_redacted(item, hidden, depth + 1) for item in value]


def _key(name: Any) -> Any:
    """Give a name as JSON can have it; other serializers take more."""
    return name if isinstance(name, (str, int, float, type(None))) else str(name)


def _is_surely_small(value: Any, max_bytes: int) -> bool:
    """Tell at no cost that a value is small; a character takes 12 bytes at most."""
    if isinstance(value, str):
        return len(value) * 12 + 2 <= max_bytes
    return isinstance(value, (bool, int, float)) or value is None


def _is_deep(value: Any, text: str) -> bool:
    """Tell whether a value is nested too deeply; few brackets tell it at once."""
    return text.count("[") + text.count("{") > MAX_DEPTH and _goes_beyond(value, MAX_DEPTH)


def _goes_beyond(value: Any, depth: int) -> bool:
    if not isinstance(value, (Mapping, list, tuple)):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return depth == 0 or any(_goes_beyond(item, depth - 1) for item in inner)


def cut(value: Any) -> dict[str, Any]:
    """Give the mark of a value that is not kept."""
    return _cut(_written(value))


def _written(value: Any) -> str:
    return as_json(value, ascii_only=False)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _cut(text: str) -> dict[str, Any]:
    return {CUT: {"size_bytes": _size(text), "begins": text[:BEGINS]}}


def hides(names: Sequence[str]) -> Hidden:
    """Match names whatever their case, and whichever of `-` and `_` they are written with."""
    patterns = [re.escape(_plain(name)).replace(r"\*", ".*") for name in names]
    matches = re.compile("|".join(patterns) or r"(?!)").fullmatch

    @lru_cache(maxsize=4096)
    def hidden(name: str) -> bool:
        return matches(_plain(name)) is not None

    return hidden


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
