"""From a function's signature to a pydantic model of its arguments.

The model's fields are numbered and carry the parameters' names as aliases, so that a parameter may
be called `json`, `schema` or `_private` without hiding what pydantic needs.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import Parameter
from types import SimpleNamespace
from typing import Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, PydanticJsonSchemaWarning
from pydantic_core import core_schema


class ArgumentsSchema(GenerateJsonSchema):
    """JSON Schema that tells a decimal number, written as text, from any other text."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Name the format of the text that a decimal may come as."""
        found = super().decimal_schema(schema)
        for branch in found.get("anyOf", [found]):
            if branch.get("type") == "string":
                branch["format"] = "decimal"
        return found


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
    parameters = inspect.signature(function).parameters
    kinds = kinds_of(function)
    fields: dict[str, Any] = {
        f"argument_{index}": _field(parameters[each], hints.get(each, Any), descriptions)
        for index, each in enumerate(kinds)
    }
    base = Arguments if len(kinds) == len(parameters) else OpenArguments
    return _with_kinds(create_model(name, __base__=base, **fields), kinds)


def _with_kinds(model: type[Arguments], kinds: Mapping[str, Any]) -> type[Arguments]:
    model.kinds = kinds
    return model


def kinds_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Give how each argument is passed, by name, `**kwargs` left out."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.kind for p in parameters if p.kind is not Parameter.VAR_KEYWORD}


def _field(parameter: Parameter, hint: Any, descriptions: Mapping[str, str]) -> tuple[Any, Any]:
    default = ... if parameter.default is Parameter.empty else parameter.default
    hint = hint if _is_usable(hint) else Any
    if parameter.kind is Parameter.VAR_POSITIONAL:
        hint, default = list[hint], []
    elif default is None:
        hint = hint | None if hint is not Any else Any
    description = descriptions.get(parameter.name)
    extra: dict[str, Any] = {"description": description} if description else {}
    return hint, Field(default, alias=parameter.name, **extra)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve each annotation by itself; one that names something unknown here is no hint."""
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(function).items():
        with suppress(Exception):
            found |= get_type_hints(_annotated(function, name, annotation), include_extras=True)
    return found


def _annotated(function: Callable[..., Any], name: str, annotation: Any) -> Any:
    """Make something that has one annotation and the names that the function's module knows."""
    return SimpleNamespace(
        __annotations__={name: annotation}, __globals__=getattr(function, "__globals__", {})
    )


def _is_usable(hint: Any) -> bool:
    """Tell whether values of this type can come as JSON."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
            TypeAdapter(hint).json_schema()
    except Exception:  # A type may bring code of its own that makes its schema.
        return False
    return True
