"""Read a submitted form back into JSON values, by the schema that drew it.

A value that does not parse stays the text that was typed, so that validation can report it beside
its field. A control left blank gives no value (the default then applies), null where only null says
"none", or an empty text where the form has shown the default and said that emptying it means that.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NoReturn, Self

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from celeriac.errors import FieldProblem
from celeriac.web.form_shapes import REST, JsonSchema, Kind, Shape, root_shape

Form = MultiDict[str, str]
DEPTH_MAX: Final = 100
"""JSON that is nested deeper is taken for text: nothing behind the form could read it either."""
ROWS_MAX: Final = 1_000
SEGMENTS_MAX: Final = 20
"""More than the name of any control has: a form goes a few levels deep, the rest is JSON."""
_ROW: Final = re.compile(r"\d{1,6}")
_ABSENT: Final = object()
_WHOLE: Final = re.compile(r"[+-]?\d{1,4000}")
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_UNUSABLE: Final = re.compile("[\0\ud800-\udfff]")
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")
_ZONE: Final = re.compile(r"[+-]\d\d:\d\d|Z")


def parse_form(schema: JsonSchema, form: Form, *, prefix: str = "args") -> dict[str, Any]:
    """Give the JSON object that the controls under `prefix` hold.

    Raises:
        BadRequest: one of its lists is longer than any person's.
    """
    return _object(root_shape(schema), prefix, _Controls.of(form))


def unusable(value: Any, pointer: str) -> Iterator[FieldProblem]:
    """Yield a problem for each text with a character that not everything behind us can hold."""
    if isinstance(value, str) and (found := _UNUSABLE.search(value)):
        detail = f"Remove the character U+{ord(found.group()):04X}; no text may hold it."
        yield FieldProblem(pointer, detail)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            inside = f"{pointer}/{escape(key)}"
            yield from unusable(key, inside)
            yield from unusable(item, inside)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unusable(item, f"{pointer}/{index}")


def escape(key: str) -> str:
    """Write a property's name as one segment of a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


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


@dataclass(frozen=True)
class _Controls:
    """A form's controls, looked through once and not again for each row of each list."""

    texts: Mapping[str, str]
    rows: Mapping[str, set[int]]
    """The rows' numbers by the name of their list."""
    filled: frozenset[str]
    """The names under which something was typed."""

    @classmethod
    def of(cls, form: Form) -> Self:
        rows: defaultdict[str, set[int]] = defaultdict(set)
        filled: set[str] = set()
        for key, values in form.lists():
            for dot in islice(re.finditer(r"\.", key), SEGMENTS_MAX):
                above = key[: dot.start()]
                if number := _ROW.match(key, dot.end()):
                    rows[above].add(int(number.group()))
                if any(values):
                    filled.add(above)
        return cls(form, rows, frozenset(filled))

    def __contains__(self, name: str) -> bool:
        return name in self.texts

    def get(self, name: str, otherwise: str) -> str:
        return self.texts.get(name, otherwise)


def _object(shape: Shape, name: str, form: _Controls) -> dict[str, Any]:
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


def _value(shape: Shape, name: str, form: _Controls) -> Any:
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
        return "" if f"{name}~empty" in form else _blank(shape)
    reader = _READERS.get(shape.kind)
    return reader(shape, text, form.get(f"{name}~zone", "")) if reader else text


def _blank(shape: Shape) -> Any:
    needs_null = shape.required or shape.schema.get("default") is not None
    return None if shape.nullable and needs_null else _ABSENT


def _group(shape: Shape, name: str, form: _Controls) -> Any:
    if shape.switchable and f"{name}~set" not in form:
        return _blank(shape)
    return _object(shape, name, form)


def _list(shape: Shape, name: str, form: _Controls) -> Any:
    item = shape.item()
    rows = [_row(item, f"{name}.{n}", form) for n in _row_numbers(name, form)]
    kept = [row for row in rows if row is not _ABSENT]
    if kept or shape.required or shape.schema.get("default"):
        return kept
    return _ABSENT


def _row_numbers(name: str, form: _Controls) -> list[int]:
    numbers = form.rows.get(name, ())
    if len(numbers) > ROWS_MAX:
        raise BadRequest(f"A form takes at most {ROWS_MAX} rows of a list; the API takes any.")
    return sorted(numbers)


def _row(item: Shape, name: str, form: _Controls) -> Any:
    """Read one row; a blank spare row is none, and neither is one marked for removal."""
    if f"{name}~drop" in form:
        return _ABSENT
    if item.kind is not Kind.GROUP:
        value = _value(item, name, form)
        return _ABSENT if value is None and f"{name}~row" not in form else value
    if f"{name}~row" in form or name in form.filled:
        return _object(item, name, form)
    return _ABSENT


def _read_number(shape: Shape, text: str, zone: str) -> Any:
    del shape, zone
    if _WHOLE.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and float(text) not in (float("inf"), float("-inf")):
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
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return text if _is_deeper(value, DEPTH_MAX) else value


def _is_deeper(value: Any, levels: int) -> bool:
    if not levels:
        return isinstance(value, (dict, list))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_deeper(item, levels - 1) for item in inner)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_READERS: Final = {
    Kind.NUMBER: _read_number,
    Kind.SELECT: _read_choice,
    Kind.RADIO: _read_choice,
    Kind.DATETIME: _read_datetime,
    Kind.JSON: _read_json,
}
