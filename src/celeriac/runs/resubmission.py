"""A new run with an earlier run's input: what of it can be taken over, and what cannot.

What the history keeps of a value is not always the value: one that was redacted stands there as
`{"$redacted": true}`, one that was too large as `{"$cut": {...}}`.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from pydantic import JsonValue

from celeriac.catalog import Call, TaskSpec
from celeriac.catalog.arguments import named, pointer
from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.marks import REDACTED, is_mark
from celeriac.runs.options import SubmitOptions
from celeriac.runs.run import Run

_NOTHING: tuple[JsonValue, ...] = (None, "", [], {})
UNNAMED = "*"
"""Where the record of a run has the positional arguments that no parameter's name belongs to."""
CARRIED_OVER = ("queue", "priority", "tags")
"""The options of the earlier run that the new one has too, unless it is given others."""


def options_of(run: Run, given: SubmitOptions | None = None) -> SubmitOptions:
    """Give the options of the new run: what is given, and of the earlier run what is not.

    Raises:
        InvalidInputError: the earlier run has an option that is none any more.
    """
    carried = {name: getattr(run, name) for name in CARRIED_OVER}
    asked = given.model_dump(exclude_unset=True) if given else {}
    return SubmitOptions.of(carried | asked)


def arguments_of(run: Run, spec: TaskSpec) -> dict[str, JsonValue]:
    """Give the earlier run's arguments by name.

    Raises:
        InvalidInputError: they are unknown, or some have no name.
    """
    if not isinstance(run.args, dict):
        raise _refusal("/args", "Nothing tells this run's arguments; give them anew.")
    return _all_named(run.args, spec) if isinstance(run.args.get(UNNAMED), list) else run.args


def known_arguments(run: Run, spec: TaskSpec) -> dict[str, JsonValue]:
    """Give what is known of the earlier run's arguments, to be completed by somebody.

    Raises:
        InvalidInputError: some have no name.
    """
    is_known = isinstance(run.args, dict) and not is_mark(run.args)
    return arguments_of(run, spec) if is_known else {}


def check_whole(args: JsonValue) -> None:
    """Refuse arguments of which the record holds only a mark in their place.

    Raises:
        InvalidInputError: there are some; each is named by a pointer.
    """
    if problems := missing(args):
        raise InvalidInputError(problems)


def without_marks(value: JsonValue) -> JsonValue:
    """Leave out what a mark stands for, so that a person can give it anew."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if not is_mark(item)}
        return {name: without_marks(item) for name, item in kept.items()}
    if isinstance(value, list):
        return [without_marks(item) for item in value if not is_mark(item)]
    return value


def still_missing(args: JsonValue, earlier: JsonValue) -> JsonValue:
    """Put each mark of the earlier arguments where a person was asked for its value and gave none.

    What was left out together with the object or the row that it belonged to is not missed.
    """
    if isinstance(args, dict) and isinstance(earlier, dict):
        marks = {name: item for name, item in earlier.items() if is_mark(item)}
        asked = {name: item for name, item in marks.items() if args.get(name) in _NOTHING}
        return {name: still_missing(item, earlier.get(name)) for name, item in args.items()} | asked
    if isinstance(args, list) and isinstance(earlier, list):
        pairs = zip_longest(args, earlier[: len(args)])
        return [still_missing(item, before) for item, before in pairs]
    return args


def missing(args: JsonValue) -> tuple[FieldProblem, ...]:
    """Name each value of which the record holds only a mark."""
    return tuple(_marks(args, "/args"))


def _marks(value: JsonValue, place: str) -> Iterator[FieldProblem]:
    if is_mark(value):
        assert isinstance(value, dict)
        why = "was redacted" if REDACTED in value else "was too large to be kept"
        yield FieldProblem(place, f"The record does not hold this value: it {why}. Give it anew.")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _marks(item, place + pointer([name]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marks(item, f"{place}/{index}")


def _all_named(args: Mapping[str, JsonValue], spec: TaskSpec) -> dict[str, JsonValue]:
    """Name what was recorded by a worker that did not know the task's parameters."""
    known = {name: value for name, value in args.items() if name != UNNAMED}
    unnamed = args[UNNAMED]
    assert isinstance(unnamed, list)
    found = named(spec.kinds, Call(unnamed))
    if UNNAMED in found or found.keys() & known.keys():
        raise _refusal("/args/*", "These have no name among the task's parameters; name them.")
    return found | known


def _refusal(place: str, detail: str) -> InvalidInputError:
    return InvalidInputError([FieldProblem(place, detail)])
