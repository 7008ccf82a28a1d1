"""Forms drawn from JSON Schema, and their values read back.

`fields_of` turns a schema, values and problems into a tree of fields that the templates draw;
`parse_form` (in `form_values`) is its inverse. Controls are named after the place of their value,
`args.items.0.name`, and marks about a value have a tilde: `args.when~zone`, `args.items.0~row`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from celeriac.errors import FieldProblem
from celeriac.marks import is_mark
from celeriac.web.form_fields import Choice, Field
from celeriac.web.form_hints import constraints_of, hint_of
from celeriac.web.form_shapes import (
    REST,
    JsonSchema,
    Kind,
    Shape,
    custom_title,
    root_shape,
    type_words,
)
from celeriac.web.form_values import (
    NUMBER,
    encode_choice,
    escape,
    json_or_words,
    parse_form,
    segment,
    unusable,
)

__all__ = ["Choice", "Field", "Kind", "fields_of", "parse_form", "placed_problems", "unusable"]

SPARE_ROWS: Final = 3
_MISSING: Final = object()
_PATTERNS: Final = {
    Kind.NUMBER: NUMBER,
    Kind.DATE: re.compile(r"\d{4}-\d\d-\d\d"),
    Kind.TIME: re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?"),
}


_SHOW_DEFAULT: Final = (Kind.NUMBER, Kind.DECIMAL, Kind.TEXT, Kind.EMAIL, Kind.URL)


def _nothing(name: str) -> bool:
    del name
    return False


@dataclass(frozen=True)
class _Place:
    """Where a field stands, and how it is drawn there."""

    name: str
    pointer: str
    problems: tuple[FieldProblem, ...]
    bare: bool = False
    """Without defaults and without `required`: a spare row, or a group that is switched off."""
    depth: int = 0
    hidden: Callable[[str], bool] = _nothing

    def below(self, key: str, **changes: Any) -> "_Place":
        pointer = self.pointer if key == REST else f"{self.pointer}/{escape(key)}"
        return replace(self, name=f"{self.name}.{segment(key)}", pointer=pointer, **changes)


def fields_of(
    schema: JsonSchema,
    values: Mapping[str, Any] | None = None,
    errors: Sequence[FieldProblem] = (),
    *,
    prefix: str = "args",
    hidden: Callable[[str], bool] = _nothing,
) -> list[Field]:
    """Draw one field for each property of `schema`, holding `values` or the defaults.

    A text is a password where its name is `hidden`. A value of which there is only a mark is empty
    and required, whatever the default: the person who submits again means what is not known.
    """
    place = _Place(prefix, f"/{prefix}", tuple(errors), hidden=hidden)
    return list(_members(root_shape(schema), values or {}, place))


def placed_problems(
    fields: Sequence[Field], errors: Sequence[FieldProblem]
) -> list[tuple[str, Field | None]]:
    """Pair each problem's sentence with the field that shows it, for the summary."""
    everything = list(_walk(fields))
    return [(e.detail, _best_place(everything, e.pointer)) for e in errors]


def _walk(fields: Sequence[Field]) -> list[Field]:
    return [found for f in fields for found in (f, *_walk(f.children))]


def _best_place(fields: Sequence[Field], pointer: str) -> Field | None:
    near = [f for f in fields if f"{pointer}/".startswith(f"{f.pointer}/") and not f.spare]
    return max(near, key=lambda f: len(f.pointer), default=None)


def _members(shape: Shape, values: Mapping[str, Any], place: _Place) -> list[Field]:
    members = list(shape.members())
    named = {name for name, _ in members}
    rest = {k: v for k, v in values.items() if k not in named} or _MISSING
    return [
        _field(
            name, member, rest if name == REST else values.get(name, _MISSING), place.below(name)
        )
        for name, member in members
    ]


def _field(key: str, shape: Shape, value: Any, place: _Place) -> Field:
    if shape.kind is Kind.TEXT and place.hidden(key):
        shape = replace(shape, kind=Kind.PASSWORD)
    if is_mark(value) or (shape.kind is Kind.PASSWORD and value not in (_MISSING, None, "")):
        return _asked_anew(key, shape, place)
    if value is _MISSING and not (place.bare or place.hidden(key)):
        value = shape.schema.get("default", _MISSING)
    drawn = Field(
        kind=shape.kind,
        name=place.name,
        pointer=place.pointer,
        label="more" if key == REST else key,
        title=custom_title(key, shape),
        type_words=type_words(shape),
        hint=hint_of(key, shape),
        required=shape.required,
        nullable=shape.nullable,
        relaxed=place.bare,
        depth=place.depth,
        attributes=constraints_of(shape) | _default_in_sight(shape, place),
        keeps_empty=_keeps_empty(shape, place),
        problems=tuple(p.detail for p in place.problems if _shown_here(p, shape, place)),
    )
    return _FILLERS.get(shape.kind, _fill_text)(drawn, shape, value, place)


def _keeps_empty(shape: Shape, place: _Place) -> bool:
    """Tell whether somebody who empties the field means an empty text, and not its default."""
    return shape.defaults_to_text and not shape.nullable and not place.bare


def _default_in_sight(shape: Shape, place: _Place) -> dict[str, str]:
    """Show in an emptied field what it means then."""
    default = shape.schema.get("default")
    if shape.nullable or place.bare or default is None or _keeps_empty(shape, place):
        return {}
    return {"placeholder": _plain_text(default)} if shape.kind in _SHOW_DEFAULT else {}


def _asked_anew(key: str, shape: Shape, place: _Place) -> Field:
    """Draw what a page cannot or may not show again, so that it is typed and never defaulted."""
    plain = replace(shape, schema={k: v for k, v in shape.schema.items() if k != "default"})
    if shape.kind is Kind.CHECKBOX:
        # A box that is not ticked says "no", which may not be what was meant.
        plain = replace(plain, kind=Kind.SELECT)
    drawn = _field(key, replace(plain, required=True), _MISSING, place)
    return replace(drawn, relaxed=False)


def _shown_here(problem: FieldProblem, shape: Shape, place: _Place) -> bool:
    if shape.kind in (Kind.GROUP, Kind.LIST):
        return problem.pointer == place.pointer
    return f"{problem.pointer}/".startswith(f"{place.pointer}/")


def _fill_group(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    present = isinstance(value, Mapping)
    inner = replace(place, bare=place.bare or (shape.switchable and not present))
    children = _members(shape, value if present else {}, inner)
    return replace(drawn, switchable=shape.switchable, checked=present, children=tuple(children))


def _fill_list(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    values = list(value) if isinstance(value, (list, tuple)) else []
    item = shape.item()
    rows = [_row(item, place, str(n), v) for n, v in enumerate(values)]
    spare = [
        replace(_row(item, place, str(len(rows) + n), _MISSING, bare=True), spare=True)
        for n in range(SPARE_ROWS)
    ]
    blank = _row(item, place, f"__row{place.depth}__", _MISSING)
    return replace(drawn, children=(*rows, *spare), blank_row=blank)


def _row(item: Shape, place: _Place, key: str, value: Any, *, bare: bool = False) -> Field:
    inner = place.below(key, bare=place.bare or bare, depth=place.depth + 1)
    row = _field(key, item, value, inner)
    return replace(row, label=f"Row {int(key) + 1}" if key.isdigit() else "New row")


def _fill_choice(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    del place
    chosen = None if value in (_MISSING, None) else encode_choice(value)
    labels = {"true": "yes", "false": "no"} if shape.schema.get("type") == "boolean" else {}
    codes = [encode_choice(choice) for choice in shape.choices()]
    choices = [Choice(code, labels.get(code, code), code == chosen) for code in codes]
    if chosen is not None and chosen not in codes:
        choices.append(Choice(chosen, chosen, chosen=True))
    if drawn.kind is Kind.SELECT:
        blank = "(none)" if shape.nullable else "Choose…"
        choices.insert(0, Choice("", blank, chosen is None))
    return replace(drawn, choices=tuple(choices), value=chosen or "")


def _fill_checkbox(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    del shape, place
    return replace(drawn, checked=value is True)


def _fill_json(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    del place
    none_is_blank = shape.nullable or (shape.has_default and shape.schema["default"] is None)
    blank = value is _MISSING or (value is None and none_is_blank)
    return replace(drawn, value="" if blank else json_or_words(value))


def _fill_datetime(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return _fill_text(drawn, shape, value, place)
    aware = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    text = aware.replace(tzinfo=None).isoformat()
    return replace(drawn, value=text, attributes={**drawn.attributes, "data-instant": f"{text}Z"})


def _fill_text(drawn: Field, shape: Shape, value: Any, place: _Place) -> Field:
    """Show the value as typed, in a control that can hold it."""
    del place
    text = _plain_text(value)
    if shape.kind is Kind.PASSWORD:
        return drawn
    if shape.kind is Kind.TEXT and "\n" in text:
        return replace(drawn, value=text, kind=Kind.TEXTAREA)
    if text and shape.kind is Kind.DATETIME:
        return replace(drawn, value=text, kind=Kind.TEXT, attributes={})
    if text and shape.kind in _PATTERNS and not _PATTERNS[shape.kind].fullmatch(text):
        return replace(drawn, value=text, kind=Kind.TEXT, attributes={})
    return replace(drawn, value=text)


_FILLERS: Final = {
    Kind.GROUP: _fill_group,
    Kind.LIST: _fill_list,
    Kind.SELECT: _fill_choice,
    Kind.RADIO: _fill_choice,
    Kind.CHECKBOX: _fill_checkbox,
    Kind.JSON: _fill_json,
    Kind.DATETIME: _fill_datetime,
}


def _plain_text(value: Any) -> str:
    if value is _MISSING or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
