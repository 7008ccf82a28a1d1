"""From the JSON Schema of a task's arguments to command-line options, and from those to JSON."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import JsonValue

from celeriac.errors import FieldProblem, InvalidInputError

_SCALARS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
_LISTS: dict[str, Any] = {
    "string": list[str], "integer": list[int], "number": list[float], "boolean": list[bool],
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One argument of a task as an option; `read` turns what was typed into JSON."""

    name: str
    identifier: str
    flag: str
    type: Any
    read: Callable[[Any], JsonValue]
    required: bool
    help: str
    default_text: str | None

    @property
    def signature(self) -> inspect.Parameter:
        """Give the parameter of a function that Typer makes the option from."""
        flags = f"{self.flag}/--no-{self.flag[2:]}" if self.type is bool else self.flag
        option = typer.Option(flags, help=self.help, show_default=self.default_text or False)
        return inspect.Parameter(
            self.identifier,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if self.required else None,
            annotation=Annotated[self.type if self.required else self.type | None, option],
        )


def parameters_of(schema: Mapping[str, Any], taken: Sequence[str] = ()) -> list[Parameter]:
    """Give one option for each property; one whose flag is taken gets the prefix `--arg-`."""
    required = schema.get("required", [])
    return [
        _parameter(index, name, _resolved(part, schema), name in required, taken)
        for index, (name, part) in enumerate(schema.get("properties", {}).items())
    ]


def read_arguments(
    parameters: Sequence[Parameter], typed: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """Collect the arguments that were typed.

    Raises:
        InvalidInputError: a value that must be JSON is none.
    """
    found: dict[str, JsonValue] = {}
    for parameter in parameters:
        value = typed[parameter.identifier]
        if value is None or value == []:
            continue
        try:
            found[parameter.name] = parameter.read(value)
        except ValueError as error:
            detail = f"{parameter.flag} takes JSON: {error}"
            raise InvalidInputError([FieldProblem(f"/args/{parameter.name}", detail)]) from None
    return found


def _parameter(
    index: int, name: str, part: Mapping[str, Any], required: bool, taken: Sequence[str]
) -> Parameter:
    kind, read = _kind(part)
    flag = "--" + name.strip("_").replace("_", "-").lower()
    hints = [part.get("description", ""), _choices(part), "(JSON)" if read is json.loads else ""]
    return Parameter(
        name=name,
        identifier=f"argument_{index}",
        flag=f"--arg-{flag[2:]}" if flag in taken else flag,
        type=kind,
        read=read,
        required=required,
        help=" ".join(hint for hint in hints if hint),
        default_text=json.dumps(part["default"]) if part.get("default") is not None else None,
    )


def _kind(part: Mapping[str, Any]) -> tuple[Any, Callable[[Any], JsonValue]]:
    items = part.get("items", {})
    if part.get("type") in _SCALARS:
        return _SCALARS[part["type"]], lambda value: value
    if part.get("type") == "array" and items.get("type") in _SCALARS:
        return _LISTS[items["type"]], list
    if part.get("type") in ("array", "object"):
        return str, json.loads
    return str, _json_or_text


def _json_or_text(text: str) -> JsonValue:
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except ValueError:
        return text


def _choices(part: Mapping[str, Any]) -> str:
    return f"One of {', '.join(map(str, part['enum']))}." if "enum" in part else ""


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference, and take the one type of a value that may also be null."""
    found = dict(part)
    if reference := found.pop("$ref", None):
        found = schema["$defs"][reference.rsplit("/", 1)[-1]] | found
    choices = [choice for choice in found.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        del found["anyOf"]
        found = _resolved(choices[0], schema) | found
    if "items" in found:
        found["items"] = _resolved(found["items"], schema)
    return found
