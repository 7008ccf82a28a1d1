"""Parameters of a query that are misspelt, doubled or empty are refused, not passed over."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from celeriac.errors import InvalidInputError
from celeriac.runs import Run, RunList, Runs, RunState, instant_of
from celeriac.settings import load_settings
from celeriac.web import create_app


class FakeRuns:
    """Lists nothing, and remembers which runs it was to cancel."""

    def __init__(self) -> None:
        self.cancelled: list[Any] = []
        self.history = self
        self.workers = self

    def find(self, *_: object) -> RunList:
        return RunList(runs=[], next_cursor=None)

    def cancel(self, run_id: str, *, foreign: bool) -> Run:
        self.cancelled.append((run_id, foreign))
        return Run(id=run_id, state=RunState.REVOKED)


@pytest.fixture
def fake() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def api(fake: FakeRuns) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    return create_app(settings, cast(Runs, fake)).test_client()


@pytest.mark.parametrize(
    ("address", "pointer", "words"),
    [
        ("runs?status=FAILURE", "/status", "known are task, state, tag,"),
        ("runs?text=bill", "/text", "Did you mean q?"),
        ("runs?stat=FAILURE", "/stat", "Did you mean state?"),
        ("runs?limit=1&limit=2", "/limit", "once"),
        ("runs?since=1h&since=2h", "/since", "once"),
        ("runs?tag=", "/tag", "value"),
        ("runs?tag=a&tag=", "/tag", "value"),
        ("events?run=x", "/run", "takes none"),
        ("tasks?name=x", "/name", "takes none"),
        ("stats?range=1h", "/range", "known are since, until, buckets"),
        ("runs?since=2030-01-31T15:00:00+06:00", "/since", "%2B"),
    ],
)
def test_query_that_is_not_clear_is_refused_by_name(
    api: FlaskClient, address: str, pointer: str, words: str
) -> None:
    answer = api.get(f"/api/v1/{address}")

    assert answer.status_code == 422
    [problem] = answer.get_json()["errors"]
    assert problem["pointer"] == pointer
    assert words in problem["detail"]


def test_address_that_is_none_is_told_in_our_words(api: FlaskClient) -> None:
    answer = api.get("/api/v1/jobs")

    assert answer.status_code == 404
    assert answer.get_json()["detail"].startswith("Nothing has the address /api/v1/jobs;")


def test_query_may_repeat_what_it_may_repeat(api: FlaskClient) -> None:
    answer = api.get("/api/v1/runs?task=a&task=b&state=FAILURE&since=2030-01-31T15:00:00%2B06:00")

    assert answer.status_code == 200


@pytest.mark.parametrize(("query", "foreign"), [("", False), ("?foreign=true", True)])
def test_cancel_takes_a_run_for_foreign_only_where_it_is_said(
    api: FlaskClient, fake: FakeRuns, query: str, foreign: bool
) -> None:
    api.post(f"/api/v1/runs/some-run/cancel{query}")

    assert fake.cancelled == [("some-run", foreign)]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("runs/cancel", {"filter": {"queue": "q"}, "dry_run": "yes"}, "/dry_run"),
        ("runs/cancel", {"filter": {}, "all": 1}, "/all"),
        ("runs/resubmit", {"filter": {"queue": "q"}, "again": "true"}, "/again"),
        ("runs/resubmit", {"filter": {"queue": "q"}, "rate": "5"}, "/rate"),
        ("workers/w/grow", {"by": "1"}, "/by"),
    ],
)
def test_text_in_a_body_is_no_number_and_no_flag(
    api: FlaskClient, path: str, body: Any, pointer: str
) -> None:
    answer = api.post(f"/api/v1/{path}", json=body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]


def test_tags_that_are_no_list_are_said_to_be_wanted_as_one(api: FlaskClient) -> None:
    answer = api.post("/api/v1/tasks/a.b/runs", json={"options": {"tags": "a"}})

    [problem] = answer.get_json()["errors"]
    assert problem == {"pointer": "/options/tags", "detail": "A list is expected here."}


def test_instant_with_a_plus_is_read_as_ever() -> None:
    now = datetime.now(UTC)

    assert instant_of("since", "2030-01-31T15:00:00+06:00", now).utcoffset()
    with pytest.raises(InvalidInputError):
        instant_of("since", "2030-01-31T15:00:00 06:00", now)
