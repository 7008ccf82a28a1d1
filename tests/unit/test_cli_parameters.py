"""Command-line options made from a task's JSON Schema."""

from typing import Any

import pytest

from celeriac.cli.parameters import parameters_of, read_arguments
from celeriac.errors import InvalidInputError

SCHEMA: dict[str, Any] = {
    "$defs": {
        "Colour": {"type": "string", "enum": ["red", "blue"]},
        "Item": {"type": "object", "properties": {"sku": {"type": "string"}}},
    },
    "properties": {
        "text": {"type": "string", "description": "Some text."},
        "limit": {"type": "integer", "default": 5},
        "is_urgent": {"type": "boolean", "default": False},
        "colour": {"$ref": "#/$defs/Colour"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}},
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "anything": {},
        "queue": {"type": "string"},
    },
    "required": ["text"],
}


def test_each_property_becomes_an_option() -> None:
    parameters = {p.name: p for p in parameters_of(SCHEMA, taken=["--queue"])}

    assert {p.flag: p.type for p in parameters.values()} == {
        "--text": str, "--limit": int, "--is-urgent": bool, "--colour": str, "--note": str,
        "--tags": list[str], "--items": str, "--anything": str, "--arg-queue": str,
    }  # fmt: skip
    assert [p.name for p in parameters.values() if p.required] == ["text"]
    assert parameters["text"].help == "Some text."
    assert "red, blue" in parameters["colour"].help
    assert parameters["limit"].default_text == "5"


def _read(**typed: Any) -> dict[str, Any]:
    parameters = parameters_of(SCHEMA)
    by_identifier = {p.identifier: typed.get(p.name) for p in parameters}
    return read_arguments(parameters, by_identifier)


def test_what_was_not_typed_is_absent() -> None:
    assert _read(text="a", tags=[]) == {"text": "a"}


def test_values_become_json() -> None:
    found = _read(text="1", limit=2, is_urgent=False, items='[{"sku": "x"}]', anything="plain")

    assert found == {
        "text": "1", "limit": 2, "is_urgent": False, "items": [{"sku": "x"}], "anything": "plain",
    }  # fmt: skip
    assert _read(anything="[1, 2]") == {"anything": [1, 2]}


def test_value_that_is_no_json_is_refused_by_its_flag() -> None:
    with pytest.raises(InvalidInputError, match="--items takes JSON"):
        _read(items="[{")
