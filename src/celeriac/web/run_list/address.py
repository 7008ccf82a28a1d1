"""What the address of the runs page asks for, and addresses that ask for a little more or less."""

from dataclasses import dataclass
from typing import Any, Final, Self

from flask import url_for
from werkzeug.datastructures import MultiDict

EVER: Final = "1970-01-01T00:00:00Z"
RANGES: Final = {"1h": "Last hour", "1d": "Last day", "7d": "Last 7 days"}
LABELS: Final = {
    "task": "Task",
    "queue": "Queue",
    "worker": "Worker",
    "tag": "Tag",
    "since": "Submitted",
    "until": "Submitted before",
    "finished_since": "Ended",
    "finished_until": "Ended before",
    "parent": "Started by",
    "root": "Family of",
    "fingerprint": "Failures alike",
    "q": "Text",
}
"""What a filter is called where it can be removed; states have chips of their own."""
SEVERAL: Final = frozenset({"task", "state", "tag"})
NAMES: Final = frozenset(LABELS) | {"state"}


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

    @property
    def changes(self) -> str:
        """Give the address that tells when the first page has changed."""
        return _address(self.pairs, "run_list.changes")

    def older(self, cursor: str) -> str:
        """Give the address of the page that begins at the cursor."""
        return _address((*self.pairs, ("cursor", cursor)))

    def carried(self) -> list[tuple[str, str]]:
        """Give what the form sends along without showing a control for it."""
        shown = {(name, self.first(name)) for name in ("task", "queue", "worker", "since", "q")}
        return [pair for pair in self.pairs if pair not in shown]

    def for_api(self) -> dict[str, list[str] | str]:
        """Give it as the filter of a bulk action by HTTP."""
        return {
            name: values if name in SEVERAL else values[0] for name, values in self.lists().items()
        }


def _address(pairs: tuple[tuple[str, str], ...], endpoint: str = "run_list.show") -> str:
    values: dict[str, Any] = MultiDict(pairs).to_dict(flat=False)
    return url_for(endpoint, **values)
