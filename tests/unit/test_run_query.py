"""From the words of a query to a filter."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest

from celeriac.errors import InvalidInputError
from celeriac.history.pages import place_of
from celeriac.runs import RunFilter, run_filter

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("values", [[""], ["a", ""]])
def test_empty_word_is_refused_and_not_passed_over(values: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="leave it out") as error:
        run_filter({"queue": ["q"], "tag": values}, NOW)

    assert [each.pointer for each in error.value.problems] == ["/tag"]


def test_words_become_a_filter() -> None:
    words = {
        "task": ["a", "b"],
        "state": ["FAILURE"],
        "tag": ["x"],
        "queue": ["q"],
        "parent": ["p"],
        "q": ["text"],
        "since": ["24h"],
        "until": ["2026-01-30T12:00:00+06:00"],
        "limit": ["5"],
    }

    assert run_filter(words, NOW) == RunFilter(
        tasks=("a", "b"),
        states=("FAILURE",),
        tags=("x",),
        queue="q",
        parent_id="p",
        text="text",
        since=NOW - timedelta(days=1),
        until=datetime(2026, 1, 30, 6, tzinfo=UTC),
    )


def test_no_words_ask_nothing() -> None:
    assert run_filter({}) == RunFilter()


@pytest.mark.parametrize(
    ("words", "pointer"),
    [
        ({"state": ["DONE"]}, "/state"),
        ({"since": ["yesterday"]}, "/since"),
        ({"since": ["2026-01-01T00:00:00"]}, "/since"),
        ({"until": ["999999d"]}, "/until"),
        ({"until": ["99999999999999d"]}, "/until"),
    ],
)
def test_word_without_sense_is_named(words: dict[str, list[str]], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run_filter(words, NOW)

    assert caught.value.problems[0].pointer == pointer


@pytest.mark.parametrize("name", ["task", "tag", "ids", "worker", "q"])
def test_half_a_surrogate_pair_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run_filter({name: ["a\ud800"]})

    assert caught.value.problems[0].pointer == f"/{name}"


def test_cursor_that_no_page_has_given_is_refused() -> None:
    forged = urlsafe_b64encode(json.dumps([1, "\ud800"]).encode()).decode()

    with pytest.raises(InvalidInputError):
        place_of(forged)
