"""Options of a submission: how far ahead, until when, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.errors import InvalidInputError
from celeriac.runs import SubmitOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("options", "eta"),
    [
        ({}, None),
        ({"countdown": 0}, None),
        ({"countdown": 1.5}, NOW + timedelta(seconds=1.5)),
        ({"eta": "2026-01-01T06:30:00+06:00"}, NOW + HOUR / 2),
        ({"eta": "2020-01-01T00:00:00Z"}, None),
    ],
)
def test_eta_of_options(options: dict[str, Any], eta: datetime | None) -> None:
    assert SubmitOptions.of(options).eta_at(NOW, HOUR) == eta


@pytest.mark.parametrize(
    "options",
    [{"countdown": 3601}, {"countdown": 1e300}, {"eta": "2026-01-01T01:00:01Z"}],
)
def test_eta_too_far_ahead_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="Too far ahead") as caught:
        SubmitOptions.of(options).eta_at(NOW, HOUR)

    assert caught.value.problems[0].pointer == f"/options/{next(iter(options))}"


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"countdown": -1}, "/options/countdown"),
        ({"countdown": "soon"}, "/options/countdown"),
        ({"countdown": float("inf")}, "/options/countdown"),
        ({"eta": "2026-01-01T00:00:00"}, "/options/eta"),
        ({"priority": 10}, "/options/priority"),
        ({"priority": 1.5}, "/options/priority"),
        ({"queue": ""}, "/options/queue"),
        ({"expires": 0}, "/options/expires"),
        ({"expires": "5"}, "/options/expires"),
        ({"expires": True}, "/options/expires"),
        ({"countdown": "5"}, "/options/countdown"),
        ({"countdown": True}, "/options/countdown"),
        ({"priority": "5"}, "/options/priority"),
        ({"eta": "1700000000"}, "/options/eta"),
        ({"eta": 1700000000}, "/options/eta"),
        ({"colour": "red"}, "/options/colour"),
        ({"eta": "2026-01-01T00:00:00Z", "countdown": 1}, "/options"),
    ],
)
def test_wrong_option_is_named(options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SubmitOptions.of(options)

    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_expires_in_seconds_and_as_an_instant() -> None:
    assert SubmitOptions.of({"expires": 60}).expires_at(NOW) == NOW + timedelta(minutes=1)
    assert SubmitOptions.of({"expires": "2026-01-01T01:00:00Z"}).expires_at(NOW) == NOW + HOUR


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_instant_that_utc_does_not_have_is_refused(instant: str) -> None:
    with pytest.raises(InvalidInputError):
        SubmitOptions.of({"expires": instant}).expires_at(NOW)


def test_tags_lose_the_spaces_around_them() -> None:
    assert SubmitOptions.of({"tags": [" a ", "blue sky", "👩‍👩‍👧"]}).tags == (
        "a",
        "blue sky",
        "👩‍👩‍👧",
    )


@pytest.mark.parametrize(
    ("tags", "pointer"),
    [
        ([""], "/options/tags/0"),
        (["a", "  "], "/options/tags/1"),
        (["a" * 101], "/options/tags/0"),
        (["a\nb"], "/options/tags/0"),
        (["a\x7f"], "/options/tags/0"),
        (["a\u2028b"], "/options/tags/0"),
        ([5], "/options/tags/0"),
        (["a", "a"], "/options/tags"),
        (["a", " a"], "/options/tags"),
        ([str(n) for n in range(21)], "/options/tags"),
        ("a", "/options/tags"),
        ({"a": 1}, "/options/tags"),
    ],
)
def test_wrong_tags_are_named(tags: Any, pointer: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SubmitOptions.of({"tags": tags})

    assert [problem.pointer for problem in caught.value.problems] == [pointer]
