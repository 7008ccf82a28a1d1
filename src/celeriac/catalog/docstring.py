"""What a task's docstring says: of the task, and of each parameter."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docstring_parser import ParseError, parse


@dataclass(frozen=True)
class Documentation:
    """A docstring in parts; Google, NumPy, reST and Epydoc styles are understood."""

    summary: str = ""
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def documentation_of(function: Callable[..., Any]) -> Documentation:
    """Read a function's docstring; one that cannot be parsed counts as plain text."""
    text = inspect.getdoc(function) or ""
    try:
        parsed = parse(text)
    except ParseError:
        summary, _, description = text.partition("\n\n")
        return Documentation(_one_line(summary), description.strip())
    return Documentation(
        _one_line(parsed.short_description),
        (parsed.long_description or "").strip(),
        {p.arg_name: _one_line(p.description) for p in parsed.params if p.description},
    )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
