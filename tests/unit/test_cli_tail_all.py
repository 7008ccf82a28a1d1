"""What happens to runs, as lines in the terminal."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.cli.tail_all import Follower, Happened, Wanted, as_json, line
from celeriac.errors import InvalidInputError
from celeriac.events import Event, EventKind
from celeriac.runs import RunState

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def _event(kind: EventKind, run_id: str = "run", entry: str = "1-0", **data: Any) -> Event:
    return Event(run_id, kind, NOON, data, entry)


def _taken(wanted: Wanted, *events: Event) -> list[Happened]:
    return list(Follower(wanted).taken(events))


def test_progress_belongs_to_the_task_that_an_earlier_event_named() -> None:
    started = _event(EventKind.STARTED, task="a", queue="q")

    found = _taken(Wanted.of(["a"], [], "q"), started, _event(EventKind.PROGRESS, current=1))

    assert [(each.task, each.queue) for each in found] == [("a", "q"), ("a", "q")]


def test_follower_takes_what_is_wanted_alone() -> None:
    events = [
        _event(EventKind.STARTED, "one", task="a", queue="q"),
        _event(EventKind.STARTED, "two", task="b", queue="q"),
        _event(EventKind.FAILED, "one", task="a", queue="q"),
        _event(EventKind.STARTED, "three", task="a", queue="r"),
    ]

    assert [each.event.run_id for each in _taken(Wanted.of(["a"], [], None), *events)] == [
        "one", "one", "three",
    ]  # fmt: skip
    assert [each.state for each in _taken(Wanted.of([], ["failure"], None), *events)] == [
        RunState.FAILURE
    ]
    assert len(_taken(Wanted.of(["a"], ["STARTED"], "r"), *events)) == 1


def test_follower_remembers_where_to_go_on() -> None:
    follower = Follower(Wanted.of(["none"], [], None))

    list(follower.taken([_event(EventKind.STARTED, entry="7-1", task="a")]))

    assert follower.last_id == "7-1"


def test_unknown_state_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="LOST"):
        Wanted.of([], ["lost"], None)


def test_run_that_is_held_is_scheduled() -> None:
    eta = "2030-01-31T13:00:00+00:00"

    (held,) = _taken(Wanted(), _event(EventKind.SUBMITTED, task="a", eta=eta))

    assert held.state is RunState.SCHEDULED
    assert "not before 2030-01-31T13" in line(held).plain


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (_event(EventKind.PROGRESS, current=1500, total=3000, message="half"),
         "1,500 of 3,000 half"),
        (_event(EventKind.FAILED, error={"type": "ValueError", "message": "two\nlines [x]"}),
         "ValueError: two lines [x]"),
        (_event(EventKind.LOG, level="INFO", text="hello"), "INFO hello"),
        (_event(EventKind.SUCCEEDED, result=[1]), "SUCCESS"),
    ],
)  # fmt: skip
def test_line_tells_what_happened(event: Event, words: str) -> None:
    (happened,) = _taken(Wanted(), event)

    text = line(happened).plain

    assert words in text
    assert "\n" not in text and text == text.rstrip()


def test_json_has_all_of_the_event() -> None:
    written = json.loads(as_json(_event(EventKind.SUCCEEDED, task="a", result="é")))

    assert written == {
        "id": "1-0", "run": "run", "kind": "succeeded", "at": "2030-01-31T12:00:00+00:00",
        "data": {"task": "a", "result": "é"},
    }  # fmt: skip
