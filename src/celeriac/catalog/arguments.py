"""Arguments on their way: from JSON, validated, to what Celery puts into a message, and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from typing import Any
from uuid import UUID

from pydantic import BaseModel, JsonValue, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from celeriac.catalog.signature import Arguments
from celeriac.errors import FieldProblem, InvalidInputError

# kombu's JSON carries these and gives them back to the task as what they are.
_CARRIED = (str, int, float, bool, type(None), datetime, date, time, Decimal, UUID)
_MARKS = {"__type__", "__value__"}
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL)
_WORDS = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "model_type": "An object is expected here.",
    "model_attributes_type": "An object is expected here.",
    "dict_type": "An object is expected here.",
    "list_type": "A list is expected here.",
    "tuple_type": "A list is expected here.",
    "json_invalid": "Text must be valid Unicode; half of a surrogate pair is not.",
}


@dataclass(frozen=True)
class Call:
    """Arguments as a message carries them."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def validate(model: type[BaseModel], args: Mapping[str, JsonValue]) -> Call:
    """Check named arguments strictly by the rules of JSON.

    Raises:
        InvalidInputError: some do not fit.
    """
    if problems := list(_marked(dict(args), "/args")):
        raise InvalidInputError(problems)
    try:
        checked = model.model_validate_json(json.dumps(args), strict=True)
    except ValidationError as error:
        raise InvalidInputError(problems_of(error, args, "/args")) from None
    return _call_of(checked)


def _marked(value: JsonValue, place: str) -> Iterator[FieldProblem]:
    """Find objects that kombu would take for a value of some other type when it reads them."""
    if isinstance(value, dict):
        if value.keys() == _MARKS:
            yield FieldProblem(place, "An object of just __type__ and __value__ is not accepted.")
        for name, item in value.items():
            yield from _marked(item, place + pointer([name]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, f"{place}/{index}")


def problems_of(error: ValidationError, given: object, root: str = "") -> list[FieldProblem]:
    """Give each problem with a JSON Pointer, below `root`, to its place in what was given."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [FieldProblem(root + _pointer(each, given), _words(each)) for each in found]
    return list(dict.fromkeys(problems))


def _words(problem: ErrorDetails) -> str:
    return _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")


def _pointer(problem: ErrorDetails, given: object) -> str:
    """Point to a place in the input; pydantic's location also names branches of unions."""
    place: list[str | int] = []
    for part in problem["loc"]:
        if _is_in(part, given):
            given = given[part]  # type: ignore[index]
        elif problem["type"] != "missing" or part != problem["loc"][-1]:
            continue
        place.append(part)
    return pointer(place)


def _is_in(part: str | int, given: object) -> bool:
    if isinstance(given, list):
        return isinstance(part, int) and part < len(given)
    return isinstance(given, Mapping) and part in given


def pointer(location: Sequence[str | int]) -> str:
    """Write a location as a JSON Pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _call_of(checked: BaseModel) -> Call:
    kinds = checked.kinds if isinstance(checked, Arguments) else {}
    positional: list[Any] = []
    named: dict[str, Any] = dict(checked.model_extra or {})
    for field_name, info in type(checked).model_fields.items():
        name, value = info.alias or field_name, getattr(checked, field_name)
        if kinds.get(name) is Parameter.VAR_POSITIONAL:
            positional.extend(value)
        elif _must_go_by_position(name, kinds):
            positional.append(value)
        elif field_name in checked.model_fields_set:
            named[name] = value
    return Call([carried(value) for value in positional], carried(named))


def _must_go_by_position(name: str, kinds: Mapping[str, Any]) -> bool:
    """Tell whether the parameter, or one behind it, has no name to be passed by."""
    names = list(kinds)
    return any(kinds[later] in _BY_POSITION for later in names[names.index(name) :])


def carried(value: Any) -> Any:
    """Turn a value into what kombu's JSON can carry."""
    if isinstance(value, Enum):
        return carried(value.value)
    if isinstance(value, _CARRIED):
        return value
    if isinstance(value, (SecretStr, SecretBytes)):
        return carried(value.get_secret_value())
    if isinstance(value, BaseModel):
        return carried(value.model_dump(by_alias=True))
    if is_dataclass(value) and not isinstance(value, type):
        return carried(asdict(value))
    if isinstance(value, Mapping):
        return {str(carried(key)): carried(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [carried(item) for item in value]
    return to_jsonable_python(value, fallback=str)


def named(kinds: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Name the positional arguments of a message; what has no name stands under `*`."""
    values = list(call.args)
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if not values or kind is Parameter.KEYWORD_ONLY:
            break
        if kind is Parameter.VAR_POSITIONAL:
            found[name], values = values, []
        else:
            found[name] = values.pop(0)
    return found | dict(call.kwargs) | ({"*": values} if values else {})
