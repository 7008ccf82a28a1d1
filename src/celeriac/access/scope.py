"""Which tasks and queues somebody's rights are limited to: names, where `*` is any text."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from celeriac.errors import FieldProblem, InvalidInputError

LONGEST = 200
MOST = 50


@dataclass(frozen=True)
class Scope:
    """Patterns of tasks and of queues; None is any.

    Raises:
        InvalidInputError: a pattern is empty or too long, or there are too many.
    """

    tasks: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problems = [*_problems("/tasks", self.tasks), *_problems("/queues", self.queues)]
        if problems:
            raise InvalidInputError(problems)

    @classmethod
    def of_words(cls, tasks: Iterable[str], queues: Iterable[str]) -> Self:
        """Read what somebody typed: nothing typed is no limit."""
        return cls(*(tuple(dict.fromkeys(words)) or None for words in (tasks, queues)))

    @classmethod
    def read(cls, tasks: str | None, queues: str | None) -> Self:
        """Read what the database holds."""
        return cls(*(None if kept is None else tuple(json.loads(kept)) for kept in (tasks, queues)))

    @property
    def columns(self) -> dict[str, str | None]:
        """Give what the database holds of it."""
        named = {"tasks": self.tasks, "queues": self.queues}
        return {n: None if p is None else json.dumps(p) for n, p in named.items()}

    @property
    def is_limited(self) -> bool:
        """Tell whether anything is out of its reach."""
        return self.tasks is not None or self.queues is not None

    def has_task(self, name: str) -> bool:
        """Tell whether the task is in its reach."""
        return _matches(name, self.tasks)

    def has_queue(self, name: str) -> bool:
        """Tell whether the queue is in its reach."""
        return _matches(name, self.queues)


def _matches(name: str, patterns: Sequence[str] | None) -> bool:
    # Brackets and question marks are no wildcards in a name that people type.
    return patterns is None or any(fnmatchcase(name, _only_stars(each)) for each in patterns)


def _only_stars(pattern: str) -> str:
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _problems(pointer: str, patterns: Sequence[str] | None) -> list[FieldProblem]:
    if patterns is None:
        return []
    if len(patterns) > MOST:
        return [FieldProblem(pointer, f"Give at most {MOST}.")]
    wrong = [each for each in patterns if not each.strip() or len(each) > LONGEST]
    return [FieldProblem(pointer, f"Each has 1 to {LONGEST} characters.")] if wrong else []
