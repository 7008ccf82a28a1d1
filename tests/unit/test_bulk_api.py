"""Bulk actions by HTTP: what is refused, counted and streamed."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from celeriac.errors import HistoryUnavailableError
from celeriac.runs import BulkProgress, RunCount, RunFilter, Runs
from celeriac.runs.bulk import check_meant
from celeriac.settings import load_settings
from celeriac.web import create_app

CANCEL, RESUBMIT = "/api/v1/runs/cancel", "/api/v1/runs/resubmit"


class FakeBulk:
    """Remembers what it was asked for, and goes through five runs."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.problem: Exception | None = None
        self.is_closed = False

    @property
    def bulk(self) -> "FakeBulk":
        return self

    def count_to_cancel(self, wanted: RunFilter, *, every: bool) -> RunCount:
        check_meant(wanted, every=every)
        self.asked.append(wanted)
        return RunCount(100_000, True)

    count_to_resubmit = count_to_cancel

    def cancel(self, wanted: RunFilter, *, every: bool, **options: Any) -> Iterator[BulkProgress]:
        check_meant(wanted, every=every)
        return self._cancelled(wanted, options)

    def _cancelled(self, wanted: RunFilter, options: Any) -> Iterator[BulkProgress]:
        self.asked.append((wanted, options))
        if self.problem:
            raise self.problem
        try:
            for done in range(6):
                yield BulkProgress(matched=5, capped=False, done=done, finished=done == 5)
        finally:
            self.is_closed = True

    resubmit = cancel


@pytest.fixture
def fake() -> FakeBulk:
    return FakeBulk()


@pytest.fixture
def api(fake: FakeBulk) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    return create_app(settings, cast(Runs, fake)).test_client()


@pytest.mark.parametrize("path", [CANCEL, RESUBMIT])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/filter"),
        ({"filter": {}}, "/filter"),
        ({"filter": {"task": []}}, "/filter"),
        ({"filter": {"task": ["a"], "q": ""}}, "/filter/q"),
        ({"filter": {"queue": ""}, "all": True}, "/filter/queue"),
        ({"filter": {"task": [""]}}, "/filter/task/0"),
        ({"filter": {"tag": [""]}}, "/filter/tag/0"),
        ({"filter": {"ids": [""], "task": ["a"]}}, "/filter/ids/0"),
        ({"filter": {"ids": ["\ud800"]}}, "/filter/ids/0"),
        ({"filter": {"worker": "\ud800"}}, "/filter/worker"),
        ({"filter": {"state": ["LOST"]}}, "/filter/state/0"),
        ({"filter": {"since": "yesterday"}}, "/filter/since"),
        ({"filter": {"colour": "red"}}, "/filter/colour"),
        ({"filter": {"ids": ["a"] * 10_001}}, "/filter/ids"),
        ({"filter": {"queue": "q"}, "dryrun": True}, "/dryrun"),
    ],
)
def test_what_is_not_clearly_meant_is_refused(
    api: FlaskClient, fake: FakeBulk, path: str, body: Any, pointer: str
) -> None:
    answer = api.post(path, json=body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert fake.asked == []


@pytest.mark.parametrize("path", [CANCEL, RESUBMIT])
def test_every_run_is_meant_where_all_says_so(api: FlaskClient, fake: FakeBulk, path: str) -> None:
    answer = api.post(path, json={"filter": {}, "all": True, "dry_run": True})

    assert answer.get_json() == {"matched": 100_000, "capped": True}
    assert fake.asked == [RunFilter()]


def test_filter_has_what_the_list_has_and_identifiers(api: FlaskClient, fake: FakeBulk) -> None:
    words = {"task": ["a", "b"], "state": ["RETRY"], "queue": "q", "worker": "w", "tag": ["t"]}
    more = {"parent": "p", "root": "r", "q": "text", "ids": ["i", "j"]}

    api.post(CANCEL, json={"filter": words | more, "dry_run": True})

    assert fake.asked == [
        RunFilter(
            tasks=("a", "b"), states=("RETRY",), queue="q", worker="w", tags=("t",),
            parent_id="p", root_id="r", text="text", ids=("i", "j"),
        )
    ]  # fmt: skip


def test_progress_comes_as_lines_and_the_last_one_says_that_it_finished(
    api: FlaskClient, fake: FakeBulk
) -> None:
    answer = api.post(RESUBMIT, json={"filter": {"queue": "q"}, "rate": 2.5, "again": True})

    assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (lines[0]["done"], lines[0]["finished"]) == (0, False)
    assert (lines[-1]["done"], lines[-1]["finished"]) == (5, True)
    assert fake.asked == [(RunFilter(queue="q"), {"rate": 2.5, "again": True})]


def test_action_stops_when_the_connection_is_closed(api: FlaskClient, fake: FakeBulk) -> None:
    answer = api.post(CANCEL, json={"filter": {"queue": "q"}}, buffered=False)
    next(iter(answer.response))

    answer.close()

    assert fake.is_closed


def test_history_that_is_away_is_a_problem(api: FlaskClient, fake: FakeBulk) -> None:
    fake.problem = HistoryUnavailableError("The history is away.")

    answer = api.post(CANCEL, json={"filter": {"queue": "q"}})

    assert (answer.status_code, answer.get_json()["code"]) == (503, "history_unavailable")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("rate", [0, -1, "fast", 1e9])
def test_rate_that_makes_no_sense_is_refused(api: FlaskClient, rate: Any) -> None:
    answer = api.post(RESUBMIT, json={"filter": {"queue": "q"}, "rate": rate})

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == "/rate"
