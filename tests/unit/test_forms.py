"""Forms from JSON Schema: what is drawn, what is read back, and that the two agree."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, EmailStr, Field, HttpUrl, SecretStr, create_model
from werkzeug.datastructures import MultiDict

from celeriac.catalog import ArgumentsSchema
from celeriac.errors import FieldProblem
from celeriac.web.form_shapes import Kind
from celeriac.web.forms import Field as FormField
from celeriac.web.forms import fields_of, parse_form, placed_problems


class Colour(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    BLACK = "black"


class Line(BaseModel):
    sku: str = Field(min_length=3, description="The article.")
    quantity: int = Field(1, ge=1, le=100)
    gift: bool = False


class Address(BaseModel):
    street: str
    zip_code: str | None = None


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


def schema_of(**fields: Any) -> dict[str, Any]:
    """Give the schema of an object with these fields, each a type or (type, default)."""
    pairs: Any = {name: f if isinstance(f, tuple) else (f, ...) for name, f in fields.items()}
    model: type[BaseModel] = create_model("Sample", **pairs)
    return model.model_json_schema(schema_generator=ArgumentsSchema)


def only_field(kind: Any, values: Any = None, errors: Sequence[FieldProblem] = ()) -> FormField:
    (drawn,) = fields_of(schema_of(it=kind), values, errors)
    return drawn


def form(**controls: str) -> MultiDict[str, str]:
    """Give a form whose controls are named `args.…`, `__` standing for the dot."""
    return MultiDict({f"args.{name.replace('__', '.')}": text for name, text in controls.items()})


def parsed(kind: Any, **controls: str) -> Any:
    return parse_form(schema_of(it=kind), form(**controls))


def controls_of(fields: Sequence[FormField]) -> Iterator[tuple[str, str]]:
    """Yield what a browser without scripts sends when the form is submitted untouched."""
    for f in fields:
        if f.kind is Kind.GROUP:
            if f.switchable and f.checked:
                yield f"{f.name}~set", "1"
            yield from controls_of(f.children)
        elif f.kind is Kind.LIST:
            yield from ((f"{row.name}~row", "1") for row in f.children if not row.spare)
            yield from controls_of(f.children)
        elif f.kind is Kind.CHECKBOX:
            if f.checked:
                yield f.name, "true"
        elif f.kind is Kind.RADIO:
            yield from ((f.name, c.value) for c in f.choices if c.chosen)
        else:
            # Browsers send line ends as CR LF.
            yield f.name, f.value.replace("\n", "\r\n")
            yield from [(f"{f.name}~empty", "1")] * f.keeps_empty


def round_trip(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return parse_form(schema, MultiDict(controls_of(fields_of(schema, values))))


# --- Which control a value gets ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (str, Kind.TEXT),
        (Annotated[str, Field(max_length=200)], Kind.TEXT),
        (Annotated[str, Field(max_length=201)], Kind.TEXTAREA),
        (Annotated[str, Field(json_schema_extra={"format": "multiline"})], Kind.TEXTAREA),
        (Annotated[str, Field(json_schema_extra={"format": "email"})], Kind.EMAIL),
        (HttpUrl, Kind.URL),
        (SecretStr, Kind.PASSWORD),
        (UUID, Kind.TEXT),
        (int, Kind.NUMBER),
        (float, Kind.NUMBER),
        (bool, Kind.CHECKBOX),
        (bool | None, Kind.SELECT),
        (Literal["a", "b"], Kind.RADIO),
        (Literal["a", "b"] | None, Kind.SELECT),
        (Colour, Kind.SELECT),
        (date, Kind.DATE),
        (datetime, Kind.DATETIME),
        (time, Kind.TIME),
        (int | None, Kind.NUMBER),
        (Line, Kind.GROUP),
        (list[int], Kind.LIST),
        (set[str], Kind.LIST),
        (list[Line], Kind.LIST),
        (Decimal, Kind.DECIMAL),
        (Decimal | None, Kind.DECIMAL),
        (int | str, Kind.JSON),
        (Any, Kind.JSON),
        (dict[str, int], Kind.JSON),
        (tuple[int, str], Kind.JSON),
        (list[list[int]], Kind.JSON),
        (list[Any], Kind.JSON),
    ],
)
def test_kind_follows_the_type(kind: Any, expected: Kind) -> None:
    assert only_field(kind).kind is expected


def test_email_type_gives_an_email_field_where_its_library_is_there() -> None:
    pytest.importorskip("email_validator")
    assert only_field(EmailStr).kind is Kind.EMAIL


def test_names_and_pointers_say_the_same_place() -> None:
    (lines,) = fields_of(schema_of(lines=list[Line]), {"lines": [{"sku": "AB-1"}]})
    sku = lines.children[0].children[0]
    assert (sku.name, sku.pointer) == ("args.lines.0.sku", "/args/lines/0/sku")


def test_recursion_ends_in_json() -> None:
    (root,) = fields_of(schema_of(root=Tree))
    assert [child.kind for child in root.children] == [Kind.TEXT, Kind.JSON]


def test_recursion_through_the_whole_schema_ends() -> None:
    assert fields_of(Tree.model_json_schema())


def test_description_is_the_hint_and_a_title_stays_beside_the_name() -> None:
    described = only_field(Annotated[str, Field(title="Article number", description="As printed.")])
    assert (described.hint, described.title, described.label) == (
        "As printed.",
        "Article number",
        "it",
    )


def test_derived_titles_are_not_shown() -> None:
    (drawn,) = fields_of(schema_of(zip_code=str))
    assert drawn.title is None


def test_a_model_keeps_the_name_of_its_parameter() -> None:
    (drawn,) = fields_of(schema_of(ship_to=Address))
    assert (drawn.label, drawn.title, drawn.type_words) == ("ship_to", None, "Address")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Annotated[int, Field(ge=1, le=9)], {"min": "1", "max": "9", "step": "1"}),
        (Annotated[int, Field(gt=1, lt=9)], {"min": "2", "max": "8", "step": "1"}),
        (Annotated[int, Field(multiple_of=5)], {"step": "5"}),
        (Annotated[float, Field(ge=0.5)], {"min": "0.5", "step": "any"}),
        (
            Annotated[str, Field(min_length=2, max_length=9)],
            {"minlength": "2", "maxlength": "9"},
        ),
        (Annotated[str, Field(pattern="^a+$")], {"pattern": "(?:a+)"}),
        (Annotated[str, Field(pattern="a|b")], {"pattern": ".*(?:a|b).*"}),
    ],
)
def test_constraints_reach_the_browser(kind: Any, expected: dict[str, str]) -> None:
    assert dict(only_field(kind).attributes) == expected


def test_defaults_are_filled_in() -> None:
    drawn = fields_of(schema_of(a=(int, 3), b=(bool, True), c=(Colour, Colour.BLUE), d=(str, "x")))
    assert [(f.value, f.checked) for f in drawn] == [
        ("3", False),
        ("", True),
        ("blue", False),
        ("x", False),
    ]


def test_decimal_number_keeps_its_digits_and_has_no_quotes() -> None:
    schema = schema_of(it=(Decimal, Decimal("1.50")))
    (drawn,) = fields_of(schema)

    assert (drawn.value, drawn.type_words) == ("1.50", "decimal number")
    assert drawn.attributes["inputmode"] == "decimal"
    assert round_trip(schema, {"it": "12345678901234567890.10"}) == {
        "it": "12345678901234567890.10"
    }


def test_text_that_is_emptied_is_empty_and_not_its_default() -> None:
    schema = schema_of(it=(str, "usual"))
    (drawn,) = fields_of(schema)
    emptied = {name: "" if name == drawn.name else text for name, text in controls_of([drawn])}

    assert parse_form(schema, MultiDict(emptied)) == {"it": ""}
    assert fields_of(schema, {"it": ""})[0].value == ""


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [
        (int, 5, "5"),
        (Annotated[str, Field(min_length=2)], "usual", "usual"),
        (int | None, 5, None),
        (str, "usual", None),
    ],
)
def test_field_whose_default_comes_back_shows_it_while_it_is_empty(
    kind: Any, default: Any, shown: str | None
) -> None:
    assert only_field((kind, default)).attributes.get("placeholder") == shown


def test_an_optional_group_is_switched_off_until_it_has_values() -> None:
    off = only_field((Address | None, None))
    on = only_field((Address | None, None), {"it": {"street": "Main St"}})
    assert (off.switchable, off.checked, off.children[0].relaxed) == (True, False, True)
    assert (on.checked, on.children[0].relaxed) == (True, False)


def test_a_list_shows_its_rows_and_spare_ones() -> None:
    drawn = only_field(list[int], {"it": [7, 8]})
    assert [row.value for row in drawn.children if not row.spare] == ["7", "8"]
    assert sum(row.spare for row in drawn.children) == 3
    assert drawn.blank_row is not None
    assert drawn.blank_row.name == "args.it.__row0__"


def test_spare_rows_are_blank_and_require_nothing() -> None:
    (spare, *_) = only_field(list[Line]).children
    assert [(f.value, f.relaxed) for f in spare.children] == [("", True)] * 3


def test_nested_lists_have_marks_of_their_own() -> None:
    class Box(BaseModel):
        labels: list[str]

    blank = only_field(list[Box]).blank_row
    assert blank is not None
    assert blank.children[0].blank_row is not None
    assert blank.children[0].blank_row.name == "args.it.__row0__.labels.__row1__"


def test_text_with_line_breaks_gets_a_textarea() -> None:
    assert only_field(str, {"it": "a\nb"}).kind is Kind.TEXTAREA


@pytest.mark.parametrize(
    ("kind", "typed"), [(int, "many"), (date, "tomorrow"), (datetime, "noon"), (time, "late")]
)
def test_what_a_control_cannot_hold_is_kept_as_text(kind: Any, typed: str) -> None:
    drawn = only_field(kind, {"it": typed})
    assert (drawn.kind, drawn.value) == (Kind.TEXT, typed)


def test_a_choice_that_is_none_is_kept() -> None:
    drawn = only_field(Colour, {"it": "pink"})
    assert [c.value for c in drawn.choices if c.chosen] == ["pink"]


def test_an_instant_is_shown_in_utc_and_marked_for_scripts() -> None:
    drawn = only_field(datetime, {"it": "2026-01-02T03:04:05+01:00"})
    assert drawn.value == "2026-01-02T02:04:05"
    assert drawn.attributes["data-instant"] == "2026-01-02T02:04:05Z"


def test_passwords_are_never_shown_again() -> None:
    assert only_field(SecretStr, {"it": "hunter2"}).value == ""


def test_arguments_without_a_name_in_the_schema_have_a_field() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}} | {
        "additionalProperties": True
    }
    drawn = fields_of(schema, {"a": 1, "b": 2})
    assert [(f.name, f.kind) for f in drawn] == [("args.a", Kind.NUMBER), ("args.*", Kind.JSON)]
    assert round_trip(schema, {"a": 1, "b": 2}) == {"a": 1, "b": 2}


def test_a_schema_that_says_nothing_gives_one_json_field() -> None:
    schema = {"type": "object", "additionalProperties": True}
    assert [f.kind for f in fields_of(schema)] == [Kind.JSON]
    assert parse_form(schema, MultiDict({"args.*": '{"a": [1]}'})) == {"a": [1]}


# --- Problems ------------------------------------------------------------------------------------


def test_a_problem_stands_beside_its_field() -> None:
    problem = FieldProblem("/args/it/0/sku", "Too short.")
    drawn = only_field(list[Line], {"it": [{"sku": "A"}]}, [problem])
    assert drawn.problems == ()
    assert drawn.children[0].children[0].problems == ("Too short.",)
    assert placed_problems([drawn], [problem]) == [
        ("Too short.", drawn.children[0].children[0]),
    ]


def test_a_problem_inside_json_stands_beside_the_json() -> None:
    drawn = only_field(dict[str, int], {"it": {"a": "b"}}, [FieldProblem("/args/it/a", "No.")])
    assert drawn.problems == ("No.",)


def test_a_problem_of_a_list_stands_at_the_list() -> None:
    drawn = only_field(list[int], {"it": []}, [FieldProblem("/args/it", "At least one.")])
    assert drawn.problems == ("At least one.",)


def test_a_problem_without_a_field_is_in_the_summary_only() -> None:
    drawn = only_field(int)
    problem = FieldProblem("/options", "Either, not both.")
    assert placed_problems([drawn], [problem]) == [("Either, not both.", None)]


def test_names_that_begin_alike_do_not_share_problems() -> None:
    drawn = fields_of(schema_of(a=int, ab=int), {}, [FieldProblem("/args/ab", "No.")])
    assert [f.problems for f in drawn] == [(), ("No.",)]


# --- Reading values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "typed", "expected"),
    [
        (int, " 42 ", 42),
        (int, "-7", -7),
        (int, "4.5", 4.5),
        (int, "1_000", "1_000"),
        (int, "many", "many"),
        (float, "1e3", 1000.0),
        (float, ".5", 0.5),
        (float, "inf", "inf"),
        (float, "1e999", "1e999"),
        (float, "1,5", "1,5"),
        (str, "  spaced ", "  spaced "),
        (str, "a\r\nb", "a\nb"),
        (str, "12", "12"),
        (bool | None, "true", True),
        (bool | None, "false", False),
        (Literal[1, 2], "2", 2),
        (Literal[1, 2], "3", "3"),
        (Colour, "green", "green"),
        (date, "2026-01-02", "2026-01-02"),
        (time, "10:30", "10:30"),
        (datetime, "2026-01-02T10:30", "2026-01-02T10:30:00Z"),
        (datetime, "noon", "noon"),
        (Any, "hello", "hello"),
        (Any, '"12"', "12"),
        (Any, "12", 12),
        (Any, "null", None),
        (Any, "NaN", "NaN"),
        (Any, "[" * 100_000, "[" * 100_000),
        (Any, "{broken", "{broken"),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
)
def test_what_was_typed_becomes_json(kind: Any, typed: str, expected: object) -> None:
    assert parsed(kind, it=typed) == {"it": expected}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (str, {}),
        (int, {}),
        ((int, 3), {}),
        ((int | None, None), {}),
        ((int | None, 3), {"it": None}),
        (int | None, {"it": None}),
        (bool, {"it": False}),
        ((bool, True), {"it": False}),
        (list[int], {"it": []}),
        ((list[int], []), {}),
        ((list[int], [1]), {"it": []}),
        ((Address | None, None), {}),
        (Address | None, {"it": None}),
        (Any, {}),
    ],
)
def test_blank_means_absent_or_null(kind: Any, expected: dict[str, Any]) -> None:
    assert parsed(kind, it="") == expected


def test_a_zone_goes_with_its_instant() -> None:
    controls = MultiDict({"args.it": "2026-07-01T10:30:15", "args.it~zone": "+02:00"})
    assert parse_form(schema_of(it=datetime), controls) == {"it": "2026-07-01T10:30:15+02:00"}


def test_a_zone_that_is_none_counts_as_utc() -> None:
    controls = MultiDict({"args.it": "2026-07-01T10:30", "args.it~zone": "evil"})
    assert parse_form(schema_of(it=datetime), controls) == {"it": "2026-07-01T10:30:00Z"}


def test_rows_are_read_in_order_and_gaps_closed() -> None:
    assert parsed(list[int], it__10="3", it__2="2", it__0="", it__1="1") == {"it": [1, 2, 3]}


def test_rows_marked_for_removal_are_left_out() -> None:
    controls = MultiDict({"args.it.0": "1", "args.it.1": "2", "args.it.0~drop": "1"})
    assert parse_form(schema_of(it=list[int]), controls) == {"it": [2]}


def test_a_blank_spare_group_is_no_row_and_a_marked_one_is() -> None:
    schema = schema_of(it=list[Line])
    blank = {"args.it.0.sku": "", "args.it.0.quantity": ""}
    assert parse_form(schema, MultiDict(blank)) == {"it": []}
    assert parse_form(schema, MultiDict(blank | {"args.it.0~row": "1"})) == {
        "it": [{"gift": False}]
    }


def test_a_group_that_is_switched_off_is_left_out() -> None:
    schema = schema_of(it=(Address | None, None))
    assert parse_form(schema, MultiDict({"args.it.street": "Main St"})) == {}
    on = MultiDict({"args.it.street": "Main St", "args.it~set": "1"})
    assert parse_form(schema, on) == {"it": {"street": "Main St"}}


def test_controls_of_other_forms_are_ignored() -> None:
    assert (
        parse_form(schema_of(it=int), MultiDict({"options.it": "1", "it": "2", "csrf": "x"})) == {}
    )


def test_names_with_dots_and_tildes_are_told_apart() -> None:
    schema = {
        "type": "object",
        "properties": {"a.b": {"type": "string"}, "a~b": {"type": "string"}},
    }
    assert round_trip(schema, {"a.b": "dot", "a~b": "tilde"}) == {"a.b": "dot", "a~b": "tilde"}


# --- There and back ------------------------------------------------------------------------------

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=30
)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
JSON_VALUE = st.recursive(
    SCALAR, lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)), max_leaves=8
)
INSTANT = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(
    lambda at: at.replace(microsecond=0).isoformat() + "Z"
)
LINE = st.fixed_dictionaries(
    {"sku": TEXT, "quantity": st.integers(), "gift": st.booleans()},
)
ADDRESS = st.fixed_dictionaries({"street": TEXT}, optional={"zip_code": TEXT})
SCHEMA = schema_of(
    text=str,
    long=(Annotated[str, Field(max_length=5000)], "default"),
    whole=int,
    real=float,
    tick=(bool, True),
    maybe=(bool | None, None),
    level=Literal["low", "high"],
    colour=(Colour, Colour.RED),
    number=Literal[1, 2, 3, 4, 5],
    day=date,
    when=datetime,
    words=list[str],
    counts=(list[int], [1, 2]),
    ticks=(list[bool], []),
    lines=list[Line],
    ship_to=Address,
    bill_to=(Address | None, None),
    anything=Any,
    either=(int | str, 1),
    table=dict[str, Any],
)
VALUES = st.fixed_dictionaries(
    {
        "text": TEXT,
        "long": TEXT,
        "whole": st.integers(),
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "tick": st.booleans(),
        "level": st.sampled_from(["low", "high"]),
        "colour": st.sampled_from([c.value for c in Colour]),
        "number": st.integers(1, 5),
        "day": st.dates().map(date.isoformat),
        "when": INSTANT,
        "words": st.lists(TEXT),
        "counts": st.lists(st.integers()),
        "lines": st.lists(LINE),
        "ship_to": ADDRESS,
        "anything": JSON_VALUE,
        "either": st.one_of(st.integers(), TEXT),
        "table": st.dictionaries(TEXT, JSON_VALUE),
    },
    optional={
        "maybe": st.booleans(),
        "ticks": st.lists(st.booleans(), min_size=1),
        "bill_to": ADDRESS,
    },
)


@settings(deadline=None)
@given(VALUES)
def test_values_survive_the_form(values: dict[str, Any]) -> None:
    assert round_trip(SCHEMA, values) == values


@given(st.dictionaries(st.sampled_from(["text", "whole", "when", "words", "table"]), JSON_VALUE))
def test_wrong_values_are_drawn_without_an_error(values: dict[str, Any]) -> None:
    assert len(fields_of(SCHEMA, values)) == len(SCHEMA["properties"])


@given(st.dictionaries(st.from_regex(r"args\.[a-z_]+(\.[0-9]+)?(\.[a-z]+)?(~[a-z]+)?"), st.text()))
def test_any_form_is_read_without_an_error(controls: dict[str, str]) -> None:
    assert isinstance(parse_form(SCHEMA, MultiDict(controls)), dict)


def test_value_of_which_there_is_a_mark_is_empty_and_required_whatever_its_default() -> None:
    model = create_model("M", token=(str, "x"), gift=(bool, False), lines=(int, 3))
    mark = {"$redacted": True}

    drawn = fields_of(model.model_json_schema(), {"token": mark, "gift": mark, "lines": mark})

    assert [(f.value, f.required) for f in drawn] == [("", True)] * 3
    assert drawn[1].kind is Kind.SELECT and [c.chosen for c in drawn[1].choices] == [
        True,
        False,
        False,
    ]


def test_default_with_a_hidden_name_is_not_shown() -> None:
    schema = {"properties": {"password": {"default": "hunter2"}, "name": {"default": "y"}}}

    password, name = fields_of(schema, hidden=lambda key: key == "password")

    assert "hunter2" not in str(password.value)
    assert name.value == "y"


def test_text_with_a_hidden_name_is_a_password_that_is_typed_again() -> None:
    model = create_model("M", api_token=(str, "x"), name=(str, "y"))

    (empty, _), (given_before, name) = (
        fields_of(model.model_json_schema(), values, hidden=lambda key: key == "api_token")
        for values in ({}, {"api_token": "hunter2", "name": "z"})
    )

    assert (empty.kind, empty.required, empty.value) == (Kind.PASSWORD, False, "")
    assert (given_before.value, given_before.required) == ("", True)
    assert (name.kind, name.value) == (Kind.TEXT, "z")
