"""Arguments on their way: from JSON, validated, to what Celery puts into a message, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from typing import Any
from uuid import UUID

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from celeriac.catalog.signature import Arguments
from celeriac.errors import FieldProblem, InvalidInputError

# kombu's JSON carries these and gives them back to the task as what they are.
_CARRIED = (str, int, float, bool, type(None), datetime, date, time, Decimal, UUID)
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL)
_WORDS = {"missing": "This field is required.", "extra_forbidden": "There is no such field."}


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
    try:
        checked = model.model_validate_json(json.dumps(args), strict=True)
    except ValidationError as error:
        raise InvalidInputError(problems_of(error, "/args")) from None
    return _call_of(checked)


def problems_of(error: ValidationError, root: str = "") -> list[FieldProblem]:
    """Give each problem with a JSON Pointer that begins with `root`."""
    return [
        FieldProblem(
            root + pointer(problem["loc"]),
            _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, "),
        )
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


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
    if isinstance(value, BaseModel):
        return carried(value.model_dump(by_alias=True))
    if is_dataclass(value) and not isinstance(value, type):
        return carried(asdict(value))
    if isinstance(value, Mapping):
        return {str(carried(key)): carried(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [carried(item) for item in value]
    return to_jsonable_python(value, fallback=str)


def bind(model: type[BaseModel], call: Call) -> dict[str, Any]:
    """Name the positional arguments of a message; what has no name stands under `*`."""
    kinds = model.kinds if issubclass(model, Arguments) else {}
    values = list(call.args)
    named: dict[str, Any] = {}
    for name, kind in kinds.items():
        if not values or kind is Parameter.KEYWORD_ONLY:
            break
        if kind is Parameter.VAR_POSITIONAL:
            named[name], values = values, []
        else:
            named[name] = values.pop(0)
    return named | dict(call.kwargs) | ({"*": values} if values else {})
