"""What a JSON Schema asks for, put in the few shapes that an HTML form can show."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

JsonSchema = Mapping[str, Any]

REST: Final = "*"
"""The member that holds the arguments a schema allows without naming them."""
RADIO_CHOICES_MAX: Final = 3
CHOICE_WORDS_MAX: Final = 30
LONG_TEXT_LENGTH: Final = 200
_DEPTH_MAX: Final = 5


class Kind(StrEnum):
    """The control that a value gets."""

    TEXT = "text"
    TEXTAREA = "textarea"
    EMAIL = "email"
    URL = "url"
    PASSWORD = "password"  # noqa: S105 - the name of a control, not a secret
    NUMBER = "number"
    DECIMAL = "decimal"
    CHECKBOX = "checkbox"
    SELECT = "select"
    RADIO = "radio"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    LIST = "list"
    GROUP = "group"
    JSON = "json"


_STRING_KINDS: Final = {
    "multiline": Kind.TEXTAREA,
    "email": Kind.EMAIL,
    "name-email": Kind.TEXT,
    "uri": Kind.URL,
    "password": Kind.PASSWORD,
    "date": Kind.DATE,
    "date-time": Kind.DATETIME,
    "time": Kind.TIME,
    "decimal": Kind.DECIMAL,
}


@dataclass(frozen=True)
class Shape:
    """One value of a schema: references followed and `null` taken out of the schema."""

    kind: Kind
    schema: JsonSchema
    nullable: bool = False
    required: bool = False
    title: str | None = None
    defs: JsonSchema = field(default_factory=dict, repr=False)
    path: tuple[str, ...] = ()

    @property
    def has_default(self) -> bool:
        """Tell whether leaving the value out gives a value that the schema states."""
        return "default" in self.schema

    @property
    def defaults_to_text(self) -> bool:
        """Tell whether its default is a text in whose place an empty one would do as well."""
        has_rules = self.schema.keys() & {"format", "pattern", "minLength"}
        is_plain = self.schema.get("type") == "string" and not has_rules
        return is_plain and self.kind is not Kind.PASSWORD and bool(self.schema.get("default"))

    @property
    def switchable(self) -> bool:
        """Tell whether a group can be left out as a whole."""
        may_be_absent = not self.required and not self.has_default
        return self.kind is Kind.GROUP and (self.nullable or may_be_absent)

    def choices(self) -> tuple[Any, ...]:
        """Give the values to choose from; none for a shape that is no choice."""
        if "enum" in self.schema:
            return tuple(self.schema["enum"])
        if "const" in self.schema:
            return (self.schema["const"],)
        return (True, False) if self.schema.get("type") == "boolean" else ()

    def members(self) -> Iterator[tuple[str, "Shape"]]:
        """Yield the named values of an object, in the schema's order."""
        needed = self.schema.get("required", ())
        for name, schema in self.schema.get("properties", {}).items():
            yield name, shape_of(schema, self.defs, self.path, required=name in needed)
        if self.schema.get("additionalProperties"):
            yield REST, Shape(Kind.JSON, {"title": REST, "type": "object"})

    def item(self) -> "Shape":
        """Give the shape of a list's rows."""
        shape = shape_of(self.schema.get("items", {}), self.defs, self.path, required=True)
        if shape.kind is Kind.CHECKBOX:
            # An unticked box is not sent at all, so a row of that kind could not say "no".
            return replace(shape, kind=Kind.SELECT)
        return shape


def shape_of(
    schema: Any, defs: JsonSchema, path: tuple[str, ...] = (), *, required: bool = False
) -> Shape:
    """Give the shape of `schema`; one that contains itself, or is too deep, becomes JSON."""
    schema = schema if isinstance(schema, Mapping) else {}
    flat, followed, nullable = _flatten(schema, defs)
    if "default" in flat and not _is_json(flat["default"]):
        flat = _without(flat, "default")
    again = bool(set(followed) & set(path)) or len(path) >= _DEPTH_MAX
    path = (*path, *(followed or ("",)))
    shape = Shape(Kind.JSON, flat, nullable, required, schema.get("title"), defs, path)
    return shape if again else replace(shape, kind=_kind(shape))


def _is_json(default: Any) -> bool:
    """Tell whether a form can hold a default: JSON has no NaN and no infinity."""
    try:
        json.dumps(default, allow_nan=False)
    except ValueError:
        return False
    return True


def root_shape(schema: JsonSchema) -> Shape:
    """Give the shape of a whole object of arguments."""
    shape = shape_of(schema, schema.get("$defs", {}), required=True)
    return replace(shape, kind=Kind.GROUP)


def _flatten(schema: JsonSchema, defs: JsonSchema) -> tuple[JsonSchema, tuple[str, ...], bool]:
    """Follow references and drop `null`: the plain schema, the references, and "may be null"."""
    followed: tuple[str, ...] = ()
    nullable = False
    for _ in range(_DEPTH_MAX * 2):
        if (reference := schema.get("$ref")) is not None:
            name = str(reference).rpartition("/")[2]
            followed += (name,)
            schema = {**defs.get(name, {}), **_without(schema, "$ref")}
            continue
        inner, has_null = _single_branch(schema)
        nullable = nullable or has_null
        if inner is None:
            return schema, followed, nullable
        schema = inner
    return {}, followed, nullable


def _single_branch(schema: JsonSchema) -> tuple[JsonSchema | None, bool]:
    """Merge a union of one branch (beside `null`) into its parent."""
    if isinstance(schema.get("type"), list):
        types = [t for t in schema["type"] if t != "null"]
        kept = {**schema, "type": types[0]} if len(types) == 1 else _without(schema, "type")
        return kept, len(types) < len(schema["type"])
    for word in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(word)
        if branches:
            real = [b for b in branches if b.get("type") != "null"]
            has_null = len(real) < len(branches)
            if len(real) == 1:
                return {**real[0], **_without(schema, word)}, has_null
            if decimal := [b for b in real if b.get("format") == "decimal"]:
                # As text it keeps each digit, and the number beside it says nothing else.
                return {**decimal[0], **_without(schema, word)}, has_null
            return None, has_null
    return None, False


def _without(schema: JsonSchema, key: str) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if k != key}


def _kind(shape: Shape) -> Kind:
    schema = shape.schema
    if "enum" in schema or "const" in schema:
        return _choice_kind(shape)
    if any(word in schema for word in ("anyOf", "oneOf", "allOf")):
        return Kind.JSON
    match schema.get("type"):
        case "string":
            return _string_kind(schema)
        case "integer" | "number":
            return Kind.NUMBER
        case "boolean":
            return Kind.SELECT if shape.nullable else Kind.CHECKBOX
        case "array":
            return _array_kind(shape)
        case "object" if schema.get("properties"):
            return Kind.GROUP
    return Kind.JSON


def _string_kind(schema: JsonSchema) -> Kind:
    if "format" in schema:
        return _STRING_KINDS.get(str(schema["format"]), Kind.TEXT)
    return Kind.TEXTAREA if schema.get("maxLength", 0) > LONG_TEXT_LENGTH else Kind.TEXT


def _choice_kind(shape: Shape) -> Kind:
    certain = not shape.nullable and (shape.required or shape.has_default)
    few = len(shape.choices()) <= RADIO_CHOICES_MAX
    return Kind.RADIO if certain and few else Kind.SELECT


def _array_kind(shape: Shape) -> Kind:
    if "prefixItems" in shape.schema or not shape.schema.get("items"):
        return Kind.JSON
    # Rows of rows, and rows of any JSON, are easier to type as one JSON array.
    return Kind.JSON if shape.item().kind in (Kind.LIST, Kind.JSON) else Kind.LIST


_STRING_WORDS: Final = {
    "date-time": "date and time",
    "date": "date",
    "time": "time",
    "email": "email",
    "uri": "URL",
    "uuid": "UUID",
    "duration": "duration",
    "decimal": "decimal number",
}
_PLAIN_WORDS: Final = {"integer": "integer", "number": "number", "boolean": "yes/no"}


def type_words(shape: Shape) -> str:
    """Say in a word or two what a value is: `integer`, `list of text`, `fast | slow`."""
    if shape.kind is Kind.LIST:
        return f"list of {type_words(shape.item())}"
    if shape.kind in (Kind.SELECT, Kind.RADIO) and shape.schema.get("type") != "boolean":
        return _choice_words(shape.choices())
    if shape.kind is Kind.GROUP:
        return str(shape.schema.get("title") or "object")
    return _scalar_words(shape)


def _choice_words(choices: tuple[Any, ...]) -> str:
    words = " | ".join(str(choice) for choice in choices)
    return words if len(words) <= CHOICE_WORDS_MAX else f"one of {len(choices)}"


def _scalar_words(shape: Shape) -> str:
    kind = shape.schema.get("type")
    if kind == "string":
        return _STRING_WORDS.get(str(shape.schema.get("format")), "text")
    if shape.kind is Kind.JSON:
        return "JSON object" if kind == "object" else "JSON"
    return _PLAIN_WORDS.get(str(kind), "JSON")


def custom_title(name: str, shape: Shape) -> str | None:
    """Give the title that the author wrote; pydantic derives one from the name otherwise."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    title = shape.title or ""
    return title if re.sub(r"[^a-z0-9]", "", title.lower()) not in ("", plain) else None
