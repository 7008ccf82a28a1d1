"""What is kept of values: secrets and what is too large give way to marks, all else stays."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from celeriac.catalog.secret import secrets_of
from celeriac.catalog.signature import model_of
from celeriac.events import Event, EventKind, as_json
from celeriac.marks import BEGINS, CUT, MAX_DEPTH, REDACTED, Keeping, is_mark, readable
from celeriac.settings import Settings

MAX = 4_096
MARK = {REDACTED: True}
NONE: frozenset[str] = frozenset()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def _keeping(*redact: str) -> Keeping:
    return Keeping(redact, MAX)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(), values))
def test_small_values_without_secrets_stay_as_they_are(args: dict[str, Any]) -> None:
    if len(as_json(args)) <= MAX:
        assert _keeping("$no such name").arguments(args, NONE) == args
    assert is_mark(_keeping().value(args)) == (len(as_json(args, ascii_only=False).encode()) > MAX)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(), values), st.text(min_size=1))
def test_no_secret_is_left_at_any_depth(args: dict[str, Any], secret: str) -> None:
    hidden = "needle-" + secret
    args = {"list": [{"Password": hidden, "other": args}], "API-Key": [hidden]}

    kept = _keeping("*password", "api_key").arguments(args, NONE)

    assert kept["API-Key"] == MARK
    if not is_mark(kept["list"]):  # It is one where the other values are too large.
        assert kept["list"][0]["Password"] == MARK
    assert json.dumps(hidden)[1:-1] not in json.dumps(kept)


@settings(deadline=None, max_examples=40)
@given(st.lists(values, min_size=1), st.integers(1, 40))
def test_what_is_kept_is_never_larger_than_allowed(items: list[Any], times: int) -> None:
    args = {f"arg{number}": [items, "x" * 200] * times for number in range(5)}

    kept = _keeping().arguments(args, NONE)

    left = {name: item for name, item in kept.items() if not is_mark(item)}
    assert left.items() <= args.items() or all(left[name] == args[name] for name in left)
    assert len(as_json(left, ascii_only=False).encode()) <= MAX + 100


def test_cut_value_tells_its_size_and_how_it_begins() -> None:
    value = ["añ"] * 5_000

    mark = _keeping().value(value)

    assert mark == {CUT: {"size_bytes": len(json.dumps(value, ensure_ascii=False).encode()),
                          "begins": json.dumps(value, ensure_ascii=False)[:BEGINS]}}  # fmt: skip


def test_largest_arguments_are_cut_first() -> None:
    args = {"small": "s", "large": "x" * 5_000, "middle": "y" * 3_000}

    kept = _keeping().arguments(args, NONE)

    assert (kept["small"], kept["middle"]) == ("s", "y" * 3_000)
    assert kept["large"][CUT]["begins"] == '"' + "x" * (BEGINS - 1)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("password", True), ("db_password", True), ("dbPassword", True), ("PASSWORD", True),
        ("access-token", True), ("accessToken", True), ("Authorization", True), ("apiKey", True),
        ("client_secret", True), ("private_key", True),
        ("max_tokens", False), ("text", False), ("passenger", False), ("keyword", False),
        ("secretary", False), ("authorizations", False),
    ],
)  # fmt: skip
def test_default_names_are_those_of_secrets(name: str, hidden: bool) -> None:
    keeping = Keeping(Settings().redacted_names, MAX)

    assert keeping.arguments({name: "x"}, NONE) == {name: MARK if hidden else "x"}


def test_absence_of_a_secret_is_none() -> None:
    assert _keeping("password").arguments({"password": None}, NONE) == {"password": None}


def test_nothing_is_redacted_where_no_name_is_given() -> None:
    assert _keeping().arguments({"password": "x", "": 1}, NONE) == {"password": "x", "": 1}


def test_arguments_that_are_nested_too_deeply_are_cut_where_they_are() -> None:
    deep: Any = "needle"
    for _ in range(600):
        deep = {"in": deep}

    kept = _keeping("password").arguments({"deep": deep, "password": "x", "other": [1]}, NONE)

    assert (kept["password"], kept["other"]) == (MARK, [1])
    assert CUT in as_json(kept["deep"]) and "needle" not in as_json(kept["deep"])
    assert json.loads(as_json(kept)) == kept


def test_value_that_no_json_can_hold_is_told_in_words_and_takes_no_other_with_it() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    data = {"task": "a.task", "result": {(1, 2): 3}, "deep": _keeping().value(deep), "attempt": 1}

    fields = Event("one", EventKind.SUCCEEDED, datetime.now(UTC), data).fields()

    assert json.loads(fields["data"]) == {
        "task": "a.task", "result": "{(1, 2): 3}", "deep": "<list>", "attempt": 1,
    }  # fmt: skip


def test_small_value_that_is_nested_too_deeply_is_cut() -> None:
    fits, deep = _nested(MAX_DEPTH), _nested(MAX_DEPTH + 1)

    assert _keeping().value(fits) == fits
    assert is_mark(_keeping().value(deep))
    assert _keeping().value([[1]] * MAX_DEPTH) == [[1]] * MAX_DEPTH


def _nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def test_names_within_arguments_become_texts() -> None:
    assert _keeping().arguments({"a": {(1, 2): 3, 4: 5}}, NONE) == {"a": {"(1, 2)": 3, 4: 5}}


class _Account(BaseModel):
    user: str
    phrase: SecretStr


def _connect(account: _Account, pin: SecretStr | None = None, codes: list[SecretStr] = []) -> None:  # noqa: B006
    """Take secrets in every way that pydantic knows."""


def test_arguments_that_a_task_declares_as_secret_are_redacted() -> None:
    secrets = secrets_of(model_of("connect", _connect, {}))
    args = {"account": {"user": "ann", "phrase": "sesame"}, "pin": "1234", "codes": ["1", "2"]}

    kept = _keeping().arguments(args, secrets)

    assert kept == {"account": {"user": "ann", "phrase": MARK}, "pin": MARK, "codes": MARK}


@settings(deadline=None, max_examples=40)
@given(st.text(), st.integers(0, 40))
def test_error_texts_stay_texts_and_within_bounds(text: str, times: int) -> None:
    long = (text + "x" * 300) * times
    error = _keeping().error({"type": "E", "message": long, "traceback": long})

    assert error is not None
    for kept in (error["message"], error["traceback"]):
        size = len(long.encode("utf-8", "surrogatepass"))
        assert kept == long if size <= MAX else len(kept.encode()) <= MAX + 60


def test_traceback_keeps_its_beginning_and_its_end() -> None:
    error = _keeping().error({"type": "E", "message": "", "traceback": "a" * 9_000 + "the end"})

    assert error and error["traceback"].startswith("aaa") and error["traceback"].endswith("the end")
    assert "bytes are not kept" in error["traceback"]


def test_marks_are_shown_in_words() -> None:
    cut = {CUT: {"size_bytes": 70_000, "begins": '"abc'}}

    assert readable({"a": [MARK], "b": cut, "c": {REDACTED: False}}) == {
        "a": ["⟨redacted⟩"],
        "b": '⟨70,000 bytes, not kept whole⟩ "abc…',
        "c": {REDACTED: False},
    }
