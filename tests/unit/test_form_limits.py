"""What no form may bring: characters that nothing can hold, and work without bound."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, create_model
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from celeriac.web.form_values import DEPTH_MAX, ROWS_MAX
from celeriac.web.forms import fields_of, parse_form, unusable


class Line(BaseModel):
    sku: str
    tags: list[str] = []


def _schema(**fields: Any) -> dict[str, Any]:
    model: type[BaseModel] = create_model("Sample", **fields)
    return model.model_json_schema()


def _form(**controls: str) -> MultiDict[str, str]:
    return MultiDict({f"args.{name}": text for name, text in controls.items()})


@pytest.mark.parametrize(
    ("value", "pointer"),
    [({"a": "x\0"}, "/args/a"), ({"a": ["", "\ud800"]}, "/args/a/1"),
     ({"a": {"b/~": "\udfff"}}, "/args/a/b~1~0"), ({"\0": 1}, "/args/\0")],
)  # fmt: skip
def test_text_that_cannot_be_held_is_a_problem_at_its_place(value: Any, pointer: str) -> None:
    (problem,) = unusable(value, "/args")

    assert problem.pointer == pointer
    assert problem.detail.startswith("Remove the character U+")


def test_ordinary_text_is_no_problem() -> None:
    assert not list(unusable({"a": ["\t\n\x7f\ufffd😀", 1, None, {"b": True}]}, "/args"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["1" * 500_000 + "x", "1." * 250_000, "1e" + "1" * 500_000])
def test_long_number_is_read_in_time_that_grows_with_it(text: str) -> None:
    assert parse_form(_schema(n=(float, 0)), _form(n=text)) == {"n": text}
    assert fields_of(_schema(n=(float, 0)), {"n": text})[0].value == text


@pytest.mark.timeout(20)
def test_many_rows_are_refused_before_they_are_read() -> None:
    names = [f"args.lines.{n}.{k}" for n in range(20_000) for k in ("sku", "tags.0")]

    with pytest.raises(BadRequest, match=str(ROWS_MAX)):
        parse_form(_schema(lines=(list[Line], ...)), MultiDict(dict.fromkeys(names, "")))


@pytest.mark.timeout(20)
def test_the_most_rows_are_read() -> None:
    names = {f"args.lines.{n}.sku": "a" for n in range(ROWS_MAX)}
    many = {f"args.lines.0.tags.{n}": "b" for n in range(ROWS_MAX)}

    found = parse_form(_schema(lines=(list[Line], ...)), MultiDict(names | many))

    assert len(found["lines"]) == len(found["lines"][0]["tags"]) == ROWS_MAX


@pytest.mark.parametrize(("depth", "kind"), [(DEPTH_MAX, list), (DEPTH_MAX + 1, str), (9_999, str)])
def test_json_nested_too_deep_stays_text(depth: int, kind: type) -> None:
    found = parse_form(_schema(it=(Any, None)), _form(it="[" * depth + "]" * depth))

    assert isinstance(found["it"], kind)


@pytest.mark.parametrize("default", [math.inf, -math.inf, math.nan])
def test_default_that_json_cannot_say_is_left_to_the_task(default: float) -> None:
    schema = _schema(it=(float, default))

    (drawn,) = fields_of(schema)

    assert (drawn.value, drawn.required) == ("", False)
    assert parse_form(schema, _form(it="")) == {}
