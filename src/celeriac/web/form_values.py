"""Read a submitted form back into JSON values, by the schema that drew it.

A value that does not parse stays the text that was typed, so that validation can report it beside
its field. A control left blank gives no value (the default then applies), or null where only null
says "none".
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from werkzeug.datastructures import MultiDict

from celeriac.web.form_shapes import REST, JsonSchema, Kind, Shape, root_shape

Form = MultiDict[str, str]
_ABSENT: Final = object()
_WHOLE: Final = re.compile(r"[+-]?\d{1,4000}")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")
_ZONE: Final = re.compile(r"[+-]\d\d:\d\d|Z")


def parse_form(schema: JsonSchema, form: Form, *, prefix: str = "args") -> dict[str, Any]:
    """Give the JSON object that the controls under `prefix` hold."""
    return _object(root_shape(schema), prefix, form)


def segment(key: str) -> str:
    """Write a property's name as one segment of a control's name."""
    return key.replace("~", "~0").replace(".", "~1")


def encode_choice(value: Any) -> str:
    """Write one of an enumeration's values as the value of a control."""
    return value if isinstance(value, str) else json.dumps(value)


def json_or_words(value: Any) -> str:
    """Write a value so that reading it as "JSON, or else text" gives the same: text stays bare."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, indent=2)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        if value.strip() == value and value:
            return value
    return json.dumps(value, ensure_ascii=False)


def _object(shape: Shape, name: str, form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, member in shape.members():
        value = _value(member, f"{name}.{segment(key)}", form)
        if value is _ABSENT:
            continue
        if key == REST and isinstance(value, Mapping):
            found = {**value, **found}
        else:
            found[key] = value
    return found


def _value(shape: Shape, name: str, form: Form) -> Any:
    match shape.kind:
        case Kind.GROUP:
            return _group(shape, name, form)
        case Kind.LIST:
            return _list(shape, name, form)
        case Kind.CHECKBOX:
            return form.get(name, "") not in ("", "false")
    typed = form.get(name, "").replace("\r\n", "\n")
    text = typed if shape.schema.get("type") == "string" else typed.strip()
    if text == "":
        return _blank(shape)
    reader = _READERS.get(shape.kind)
    return reader(shape, text, form.get(f"{name}~zone", "")) if reader else text


def _blank(shape: Shape) -> Any:
    needs_null = shape.required or shape.schema.get("default") is not None
    return None if shape.nullable and needs_null else _ABSENT


def _group(shape: Shape, name: str, form: Form) -> Any:
    if shape.switchable and f"{name}~set" not in form:
        return _blank(shape)
    return _object(shape, name, form)


def _list(shape: Shape, name: str, form: Form) -> Any:
    item = shape.item()
    rows = [_row(item, f"{name}.{n}", form) for n in _row_numbers(name, form)]
    kept = [row for row in rows if row is not _ABSENT]
    if kept or shape.required or shape.schema.get("default"):
        return kept
    return _ABSENT


def _row_numbers(name: str, form: Form) -> list[int]:
    start = f"{name}."
    heads = (re.match(r"\d{1,6}", key[len(start) :]) for key in form if key.startswith(start))
    return sorted({int(head.group()) for head in heads if head})


def _row(item: Shape, name: str, form: Form) -> Any:
    """Read one row; a blank spare row is none, and neither is one marked for removal."""
    if f"{name}~drop" in form:
        return _ABSENT
    if item.kind is not Kind.GROUP:
        value = _value(item, name, form)
        return _ABSENT if value is None and f"{name}~row" not in form else value
    inside = (values for key, values in form.lists() if key.startswith(f"{name}."))
    if f"{name}~row" in form or any(any(values) for values in inside):
        return _object(item, name, form)
    return _ABSENT


def _read_number(shape: Shape, text: str, zone: str) -> Any:
    del shape, zone
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and float(text) not in (float("inf"), float("-inf")):
        return float(text)
    return text


def _read_choice(shape: Shape, text: str, zone: str) -> Any:
    del zone
    return next((c for c in shape.choices() if encode_choice(c) == text), text)


def _read_datetime(shape: Shape, text: str, zone: str) -> Any:
    """Complete what a browser sends, a time without seconds and zone; UTC unless it says one."""
    del shape
    match = _LOCAL_TIME.fullmatch(text)
    if match is None:
        return text
    seconds = "" if match.group(1) else ":00"
    return f"{text.replace(' ', 'T')}{seconds}{zone if _ZONE.fullmatch(zone) else 'Z'}"


def _read_json(shape: Shape, text: str, zone: str) -> Any:
    del shape, zone
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_READERS: Final = {
    Kind.NUMBER: _read_number,
    Kind.SELECT: _read_choice,
    Kind.RADIO: _read_choice,
    Kind.DATETIME: _read_datetime,
    Kind.JSON: _read_json,
}
