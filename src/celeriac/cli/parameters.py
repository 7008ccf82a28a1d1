"""From the JSON Schema of a task's arguments to command-line options, and from those to JSON."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, NoReturn

import typer
from pydantic import JsonValue
from rich.markup import escape

from celeriac.errors import FieldProblem, InvalidInputError

_SCALARS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
_LISTS: dict[str, Any] = {
    "string": list[str], "integer": list[int], "number": list[float], "boolean": list[bool],
}  # fmt: skip

Reader = Callable[[Any], JsonValue]


@dataclass(frozen=True)
class Parameter:
    """One argument of a task as an option; `read` turns what was typed into JSON.

    A `merged` one holds an object whose members are arguments of their own.
    """

    name: str
    identifier: str
    flag: str
    type: Any
    read: Reader
    required: bool = False
    help: str = ""
    default_text: str | None = None
    merged: bool = False

    @property
    def signature(self) -> inspect.Parameter:
        """Give the parameter of a function that Typer makes the option from."""
        option = typer.Option(
            f"{self.flag}/--no-{self.flag[2:]}" if self.type is bool else self.flag,
            help=escape(self.help),
            metavar="JSON" if self.read in (_json, _json_object) else None,
            show_default=self.default_text or False,
        )
        return inspect.Parameter(
            self.identifier,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if self.required else None,
            annotation=Annotated[self.type if self.required else self.type | None, option],
        )


def parameters_of(schema: Mapping[str, Any], taken: Sequence[str] = ()) -> list[Parameter]:
    """Give one option for each property, and one for all that the schema allows beside them.

    One whose flag is taken, by the command or by an earlier property, gets the prefix `--arg-`.
    """
    used = list(taken)
    found: list[Parameter] = []
    for index, (name, part) in enumerate(schema.get("properties", {}).items()):
        flag = _free("--" + name.strip("_").replace("_", "-").lower(), used)
        required = name in schema.get("required", [])
        found.append(_parameter(f"argument_{index}", name, flag, part, schema, required))
        used.append(flag)
    if schema.get("additionalProperties") is True:
        found.append(_more(_free("--more", used)))
    return found


def read_arguments(
    parameters: Sequence[Parameter], typed: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """Collect the arguments that were typed; one with an option of its own wins over a merged one.

    Raises:
        InvalidInputError: a value that must be JSON is none, or a number is not finite.
    """
    found: dict[str, JsonValue] = {}
    for parameter in parameters:
        value = typed[parameter.identifier]
        if value is None or value == []:
            continue
        read = _read(parameter, value)
        found = {**read, **found} if parameter.merged else {**found, parameter.name: read}
    return found


def _read(parameter: Parameter, value: Any) -> Any:
    try:
        return parameter.read(value)
    except ValueError as error:
        pointer = "/args" if parameter.merged else f"/args/{parameter.name}"
        raise InvalidInputError([FieldProblem(pointer, f"{parameter.flag} {error}")]) from None


def _free(flag: str, used: Sequence[str]) -> str:
    while flag in used:
        flag = f"--arg-{flag[2:]}"
    return flag


def _parameter(
    identifier: str,
    name: str,
    flag: str,
    part: Mapping[str, Any],
    schema: Mapping[str, Any],
    required: bool,
) -> Parameter:
    part = _resolved(part, schema)
    kind, read = _kind(part, schema)
    hints = [part.get("description", ""), _choices(part)]
    return Parameter(
        name=name,
        identifier=identifier,
        flag=flag,
        type=kind,
        read=read,
        required=required,
        help=" ".join(hint for hint in hints if hint),
        default_text=json.dumps(part["default"]) if part.get("default") is not None else None,
    )


def _more(flag: str) -> Parameter:
    return Parameter(
        name="*",
        identifier="argument_more",
        flag=flag,
        type=str,
        read=_json_object,
        help="Further arguments, as one JSON object.",
        merged=True,
    )


def _kind(part: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Any, Reader]:
    """Give the type that Typer reads, and what makes JSON of it."""
    kind = part.get("type")
    if kind in _SCALARS:
        return _SCALARS[kind], _finite if kind == "number" else _unchanged
    if kind == "array":
        items = part.get("items")
        inner = _resolved(items, schema).get("type") if isinstance(items, Mapping) else None
        return (_LISTS[inner], _finite_list) if inner in _LISTS else (str, _json)
    if any(branch.get("format") == "decimal" for branch in part.get("anyOf", ())):
        return str, _unchanged  # As text it keeps each digit.
    return str, _json if kind == "object" else _json_or_text


def _unchanged(value: Any) -> JsonValue:
    return value  # type: ignore[no-any-return]


def _finite(value: float) -> JsonValue:
    if not isfinite(value):
        raise ValueError("takes a finite number")
    return value


def _finite_list(values: Sequence[Any]) -> JsonValue:
    return [_finite(value) if isinstance(value, float) else value for value in values]


def _json(text: str) -> JsonValue:
    try:
        read = json.loads(text, parse_constant=_refuse, parse_float=_json_number)
    except RecursionError:
        raise ValueError("takes JSON that is nested less deep") from None
    except ValueError as error:
        raise ValueError(f"takes JSON: {error}") from None
    return read  # type: ignore[no-any-return]


def _json_object(text: str) -> JsonValue:
    read = _json(text)
    if not isinstance(read, dict):
        raise ValueError('takes a JSON object, such as {"name": "value"}')
    return read


def _json_or_text(text: str) -> JsonValue:
    try:
        return _json(text)
    except ValueError:
        return text


def _json_number(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _choices(part: Mapping[str, Any]) -> str:
    return f"One of {', '.join(map(str, part['enum']))}." if "enum" in part else ""


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follow references, and take the one type of a value that may also be null."""
    found = dict(part)
    if reference := found.pop("$ref", None):
        found = _resolved(schema["$defs"][reference.rsplit("/", 1)[-1]], schema) | found
    for word in ("anyOf", "oneOf", "allOf"):
        choices = [choice for choice in found.get(word, []) if choice.get("type") != "null"]
        if len(choices) == 1:
            del found[word]
            found = _resolved(choices[0], schema) | found
    if isinstance(found.get("type"), list):
        types = [kind for kind in found.pop("type") if kind != "null"]
        found |= {"type": types[0]} if len(types) == 1 else {}
    return found
