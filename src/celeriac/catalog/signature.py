"""From a function's signature to a pydantic model of its arguments.

The model's fields are numbered and carry the parameters' names as aliases, so that a parameter may
be called `json`, `schema` or `_private` without hiding what pydantic needs.
"""

import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import PydanticJsonSchemaWarning


class Arguments(BaseModel):
    """Base of the models made here; `kinds` tells how each argument is passed."""

    model_config = ConfigDict(extra="forbid")
    kinds: ClassVar[Mapping[str, Any]] = {}


class OpenArguments(Arguments):
    """Arguments of a function that ends in `**kwargs`."""

    model_config = ConfigDict(extra="allow")


def model_of(
    name: str, function: Callable[..., Any], descriptions: Mapping[str, str]
) -> type[Arguments]:
    """Model a function's arguments; a parameter without a usable hint takes any JSON."""
    hints = _hints(function)
    parameters = inspect.signature(function).parameters.values()
    named = [each for each in parameters if each.kind is not Parameter.VAR_KEYWORD]
    fields: dict[str, Any] = {
        f"argument_{index}": _field(each, hints.get(each.name, Any), descriptions)
        for index, each in enumerate(named)
    }
    base = Arguments if len(named) == len(parameters) else OpenArguments
    return _with_kinds(
        create_model(name, __base__=base, **fields), {each.name: each.kind for each in named}
    )


def _with_kinds(model: type[Arguments], kinds: Mapping[str, Any]) -> type[Arguments]:
    model.kinds = kinds
    return model


def _field(parameter: Parameter, hint: Any, descriptions: Mapping[str, str]) -> tuple[Any, Any]:
    default = ... if parameter.default is Parameter.empty else parameter.default
    hint = hint if _is_usable(hint) else Any
    if parameter.kind is Parameter.VAR_POSITIONAL:
        hint, default = list[hint], []
    description = descriptions.get(parameter.name)
    extra: dict[str, Any] = {"description": description} if description else {}
    return hint, Field(default, alias=parameter.name, **extra)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the annotations; one that names something unknown here counts as no hint."""
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        found = inspect.get_annotations(function)
        return {name: hint for name, hint in found.items() if not isinstance(hint, str)}


def _is_usable(hint: Any) -> bool:
    """Tell whether values of this type can come as JSON."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
            TypeAdapter(hint).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return False
    return True
