"""Cancelling and resubmitting from the list without scripts."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from celeriac.errors import HistoryUnavailableError
from celeriac.runs import BulkProgress, RunCount, RunFilter, Runs
from celeriac.runs.bulk_progress import BulkProblem
from celeriac.settings import load_settings
from celeriac.web import create_app

PAGE = {"Accept": "text/html"}


class FakeBulk:
    """Counts what a test says, and remembers what it was asked to do."""

    def __init__(self) -> None:
        self.found = RunCount(3, False)
        self.last = BulkProgress(matched=3, capped=False, done=3, finished=True)
        self.problem: Exception | None = None
        self.acted: list[tuple[str, RunFilter]] = []
        self.dead_letters = SimpleNamespace(known_counts=None)

    @property
    def bulk(self) -> "FakeBulk":
        return self

    def count_to_cancel(self, wanted: RunFilter, *, every: bool) -> RunCount:
        if self.problem:
            raise self.problem
        return self.found

    count_to_resubmit = count_to_cancel

    def cancel(self, wanted: RunFilter, *, every: bool) -> Iterator[BulkProgress]:
        self.acted.append(("cancel", wanted))
        yield BulkProgress(matched=3, capped=False)
        yield self.last

    def resubmit(self, wanted: RunFilter, *, every: bool) -> Iterator[BulkProgress]:
        self.acted.append(("resubmit", wanted))
        yield self.last


@pytest.fixture
def fake() -> FakeBulk:
    return FakeBulk()


@pytest.fixture
def client(fake: FakeBulk) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    app = create_app(settings, cast(Runs, fake))
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def _post(client: FlaskClient, **form: Any) -> TestResponse:
    return client.post("/runs/actions", data=form, headers=PAGE)


def _hidden(html: str) -> list[tuple[str, str]]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html)
    return [pair for pair in found if pair[0] != "csrf_token"]


def test_action_asks_first_and_states_the_count(client: FlaskClient, fake: FakeBulk) -> None:
    html = _post(client, action="cancel", tag="nightly", state="STARTED").text

    assert "Cancel 3 runs?" in html
    assert "Tag: <b>nightly</b>" in html
    assert sorted(_hidden(html)) == [
        ("action", "cancel"), ("counted", "3"), ("state", "STARTED"), ("tag", "nightly"),
    ]  # fmt: skip
    assert fake.acted == []


def test_confirmed_action_is_done_for_all_that_match(client: FlaskClient, fake: FakeBulk) -> None:
    html = _post(client, action="resubmit", tag="nightly", confirmed="1").text

    assert fake.acted == [("resubmit", RunFilter(tags=("nightly",)))]
    assert "Resubmitted 3 runs" in html
    assert 'href="/runs?tag=nightly"' in html


def test_marked_runs_are_meant_and_no_others(client: FlaskClient, fake: FakeBulk) -> None:
    asked = _post(client, action="cancel", tag="nightly", ids=["a", "b"])
    _post(client, action="cancel", tag="nightly", ids=["a", "b"], confirmed="1")

    assert [pair for pair in _hidden(asked.text) if pair[0] == "ids"] == [
        ("ids", "a"),
        ("ids", "b"),
    ]
    assert fake.acted == [("cancel", RunFilter(ids=("a", "b")))]


@pytest.mark.parametrize("ids", [[""], ["", ""]])
def test_marks_without_an_identifier_never_mean_every_run(
    client: FlaskClient, fake: FakeBulk, ids: list[str]
) -> None:
    answer = _post(client, action="cancel", ids=ids, confirmed="1")

    assert (answer.status_code, fake.acted) == (400, [])


def test_empty_mark_beside_others_means_nothing(client: FlaskClient, fake: FakeBulk) -> None:
    _post(client, action="cancel", ids=["", "a"], confirmed="1")

    assert fake.acted == [("cancel", RunFilter(ids=("a",)))]


@pytest.mark.parametrize(("typed", "is_done"), [("", False), ("1299", False), ("1,300", True)])
def test_many_runs_need_their_number_typed(
    client: FlaskClient, fake: FakeBulk, typed: str, is_done: bool
) -> None:
    fake.found = RunCount(1300, False)

    answer = _post(client, action="cancel", queue="q", confirmed="1", counted=1300, typed=typed)

    assert answer.status_code == (200 if is_done else 422)
    assert bool(fake.acted) is is_done
    assert ('aria-invalid="true"' in answer.text) is not is_done


@pytest.mark.parametrize("now", [1200, 1301, 1400])
def test_number_of_a_busy_system_may_move_while_it_is_typed(
    client: FlaskClient, fake: FakeBulk, now: int
) -> None:
    fake.found = RunCount(now, False)

    answer = _post(client, action="cancel", queue="q", confirmed="1", counted=1300, typed="1300")

    assert (answer.status_code, len(fake.acted)) == (200, 1)


@pytest.mark.parametrize(("counted", "now"), [(1300, 2000), (90, 101), (0, 101)])
def test_question_is_asked_again_where_far_more_runs_would_be_touched(
    client: FlaskClient, fake: FakeBulk, counted: int, now: int
) -> None:
    fake.found = RunCount(now, False)

    answer = _post(
        client, action="cancel", queue="q", confirmed="1", counted=counted, typed=str(counted)
    )

    assert (answer.status_code, fake.acted) == (422, [])
    assert f"There were {counted:,} when you were asked." in answer.text
    assert f'name="counted" value="{now}"' in answer.text


def test_summary_names_what_failed_and_why_it_stopped(client: FlaskClient, fake: FakeBulk) -> None:
    problem = BulkProblem(run="run-7", detail="Its task <is> gone.")
    fake.last = BulkProgress(
        matched=9, capped=False, done=4, failed=1, problems=[problem], stopped="Redis is away."
    )

    html = _post(client, action="resubmit", queue="q", confirmed="1").text

    assert 'href="/runs/run-7"' in html
    assert "Its task &lt;is&gt; gone." in html
    assert "Redis is away." in html


def test_nothing_to_do_says_so(client: FlaskClient, fake: FakeBulk) -> None:
    fake.found = RunCount(0, False)

    assert "All of these runs have ended." in _post(client, action="cancel", queue="q").text


def test_unknown_action_is_refused(client: FlaskClient, fake: FakeBulk) -> None:
    assert _post(client, action="explode", confirmed="1").status_code == 400
    assert fake.acted == []


def test_history_that_is_away_is_a_page(client: FlaskClient, fake: FakeBulk) -> None:
    fake.problem = HistoryUnavailableError("The history does not answer.")

    answer = _post(client, action="cancel", queue="q")

    assert (answer.status_code, "The history does not answer." in answer.text) == (503, True)


def test_address_of_an_action_leads_back_to_the_list(client: FlaskClient) -> None:
    answer = client.get("/runs/actions", headers=PAGE)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs")
