"""The catalog as its page lists it: grouped, with each task's parameters at a glance."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from celeriac.catalog import TaskSpec
from celeriac.web.form_shapes import REST, root_shape, type_words


@dataclass(frozen=True)
class Parameter:
    """One parameter in short."""

    name: str
    words: str
    required: bool


@dataclass(frozen=True)
class TaskRow:
    """One task of the list; `found` tells whether it matches the filter."""

    spec: TaskSpec
    parameters: tuple[Parameter, ...]
    text: str
    found: bool


@dataclass(frozen=True)
class TaskGroup:
    """Tasks whose names begin alike."""

    name: str
    rows: tuple[TaskRow, ...]

    @property
    def found(self) -> bool:
        """Tell whether any of them matches the filter."""
        return any(row.found for row in self.rows)


def groups_of(specs: Iterable[TaskSpec], query: str) -> list[TaskGroup]:
    """Group the tasks by the part of their names before the last dot."""
    words = query.lower().split()
    rows = [_row(spec, words) for spec in specs]
    groups = groupby(sorted(rows, key=_sort_key), key=lambda row: _group_name(row.spec.name))
    return [TaskGroup(name, tuple(members)) for name, members in groups]


def _row(spec: TaskSpec, words: list[str]) -> TaskRow:
    text = f"{spec.name} {spec.summary} {spec.queue}".lower()
    return TaskRow(spec, parameters_of(spec), text, all(word in text for word in words))


def parameters_of(spec: TaskSpec) -> tuple[Parameter, ...]:
    """Give a task's parameters in short, in their order."""
    members = root_shape(spec.schema).members()
    return tuple(
        Parameter("…" if name == REST else name, type_words(shape), shape.required)
        for name, shape in members
    )


def _sort_key(row: TaskRow) -> tuple[str, str]:
    return _group_name(row.spec.name), row.spec.name


def _group_name(name: str) -> str:
    return name.rpartition(".")[0]
