"""The page of all runs: its address says everything, and it shows what the history gives."""

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from celeriac.errors import FieldProblem, HistoryUnavailableError, InvalidInputError
from celeriac.runs import (
    Names,
    Progress,
    Run,
    RunCount,
    RunError,
    RunFilter,
    RunList,
    Runs,
    RunState,
)
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.run_list.actions import ACTIONS, TYPED_ABOVE
from celeriac.web.run_list.address import Query
from celeriac.web.run_list.rows import GLANCE_MAX, glance

PAGE = {"Accept": "text/html"}
NOW = datetime(2030, 1, 31, 9, tzinfo=UTC)


class FakeRuns:
    """A history that holds what a test puts into it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = RunList(runs=[])
        self.problem: Exception | None = None
        self.asked: tuple[RunFilter, str | None] | None = None
        self.names_asked = 0
        self.dead_letters = SimpleNamespace(known_counts=None)
        self.counted: list[tuple[RunFilter, int]] = []

    @property
    def history(self) -> "FakeRuns":
        return self

    def find(self, wanted: RunFilter, cursor: str | None = None, limit: int = 50) -> RunList:
        if self.problem:
            raise self.problem
        self.asked = wanted, cursor
        return self.answer

    def count(self, wanted: RunFilter, cap: int) -> RunCount:
        self.counted.append((wanted, cap))
        return RunCount(cap, True)

    def names(self) -> Names:
        self.names_asked += 1
        return Names(("email.send", "text.reverse"), ("default",), ("celery@one",), ("nightly",))


@pytest.fixture
def fake() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def client(fake: FakeRuns) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    return create_app(settings, cast(Runs, fake)).test_client()


def _run(**given: Any) -> Run:
    default = {"id": "01a203aa-0000-7000-8000-000000c9823b", "task": "email.send"}
    return Run(**default | {"state": RunState.SUCCESS, "submitted_at": NOW} | given)


def _get(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    return client.get(address, headers=PAGE | headers)


def _links(html: str, css: str) -> list[str]:
    found = re.findall(rf'<a class="[^"]*\b{css}\b[^"]*"[^>]* href="([^"]*)"', html)
    return [href.replace("&amp;", "&") for href in found]


def test_page_shows_runs_and_links_to_them(client: FlaskClient, fake: FakeRuns) -> None:
    run = _run(
        args={"to": "ada@example.com"},
        state=RunState.FAILURE,
        error=RunError(type="smtplib.SMTPServerDisconnected", message="gone"),
        worker="celery@one",
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=90),
    )
    fake.answer = RunList(runs=[run])

    html = _get(client, "/runs").text

    assert "<title>Runs · Celeriac</title>" in html
    assert _links(html, "run-link") == [f"/runs/{run.id}"]
    assert "to=&#34;ada@example.com&#34;" in html
    assert ">SMTPServerDisconnected<" in html
    assert "1 min 30 s" in html
    assert f'datetime="{NOW.isoformat()}"' in html


def test_address_becomes_a_filter_without_what_is_empty(
    client: FlaskClient, fake: FakeRuns
) -> None:
    answer = _get(client, "/runs?q=&task=email.send&task=&queue=+&state=FAILURE&state=RETRY&x=1")

    assert answer.status_code == 200
    wanted = RunFilter(tasks=("email.send",), states=("FAILURE", "RETRY"))
    assert fake.asked == (wanted, None)


def test_state_chips_turn_states_on_and_off(client: FlaskClient) -> None:
    chips = _links(_get(client, "/runs?state=FAILURE&queue=default&cursor=c").text, "state-chip")

    assert len(chips) == len(RunState)
    assert "/runs?queue=default" in chips
    assert "/runs?state=FAILURE&state=RETRY&queue=default" in chips
    assert not any("cursor" in chip for chip in chips)


def test_each_filter_can_be_removed(client: FlaskClient) -> None:
    html = _get(client, "/runs?queue=default&tag=a&tag=b&parent=" + "p" * 36).text

    assert _links(html, "chip-remove") == [
        "/runs?tag=a&tag=b&parent=" + "p" * 36,
        "/runs?queue=default&tag=b&parent=" + "p" * 36,
        "/runs?queue=default&tag=a&parent=" + "p" * 36,
        "/runs?queue=default&tag=a&tag=b",
    ]
    assert _links(html, "clear-filters") == ["/runs"]


def test_form_keeps_what_it_shows_no_field_for(client: FlaskClient) -> None:
    html = _get(client, "/runs?state=RETRY&tag=a&task=one&task=two&queue=gone&since=3h").text

    bar = html.partition("</form>")[0]
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', bar)
    assert hidden == [("state", "RETRY"), ("tag", "a"), ("task", "two")]
    chosen = re.findall(r'<option value="([^"]*)" selected>', html)
    assert chosen == ["one", "gone", "", "3h"]


def test_pages_are_linked_by_cursor(client: FlaskClient, fake: FakeRuns) -> None:
    fake.answer = RunList(runs=[_run()], next_cursor="next one")

    html = _get(client, "/runs?q=ada&since=1d&cursor=here").text

    assert fake.asked is not None and fake.asked[1] == "here"
    assert 'href="/runs?q=ada&amp;since=1d&amp;cursor=next+one"' in html
    assert 'id="runs-newest" href="/runs?q=ada&amp;since=1d"' in html


def test_first_page_alone_refreshes_itself(client: FlaskClient, fake: FakeRuns) -> None:
    fake.answer = RunList(runs=[_run()])

    assert 'hx-get="/runs?state=RETRY"' in _get(client, "/runs?state=RETRY").text
    assert "hx-get" not in _get(client, "/runs?cursor=here").text


def test_refreshing_gets_the_rows_only_and_nothing_keeps_them(
    client: FlaskClient, fake: FakeRuns
) -> None:
    fake.answer = RunList(runs=[_run()])

    answer = _get(client, "/runs", **{"HX-Request": "true"})

    assert "run-link" in answer.text and "<html" not in answer.text
    assert fake.names_asked == 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert "HX-Request" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("query", "is_told"), [("?q=ada", True), ("?q=ada&since=30d", False), ("?queue=a", False)]
)
def test_page_tells_when_a_search_is_bounded(
    client: FlaskClient, query: str, is_told: bool
) -> None:
    assert ("runs of the last 7 days" in _get(client, f"/runs{query}").text) is is_told


@pytest.mark.parametrize(
    ("query", "words"),
    [("", "No runs yet"), ("?state=RETRY", "No run matches"), ("?cursor=end", "No older runs")],
)
def test_empty_page_teaches(client: FlaskClient, query: str, words: str) -> None:
    html = _get(client, f"/runs{query}").text

    assert words in html
    assert ('href="/tasks">' in html.partition('id="runs"')[2]) is (not query)


def test_filter_without_sense_is_named(client: FlaskClient, fake: FakeRuns) -> None:
    assert "state" in _get(client, "/runs?state=LOST").text
    assert _get(client, "/runs?state=LOST").status_code == 422

    fake.problem = InvalidInputError([FieldProblem("/cursor", "This is none.")])
    answer = _get(client, "/runs?cursor=x")
    assert (answer.status_code, "This is none." in answer.text) == (422, True)


def test_page_says_that_the_history_is_away(client: FlaskClient, fake: FakeRuns) -> None:
    fake.problem = HistoryUnavailableError("The history does not answer.")

    answer = _get(client, "/runs?queue=default")

    assert answer.status_code == 503
    assert "The history does not answer." in answer.text
    assert 'href="/runs?queue=default"' in answer.text


def test_page_escapes_what_runs_hold(client: FlaskClient, fake: FakeRuns) -> None:
    evil = '"><script>x</script>'
    fake.answer = RunList(
        runs=[_run(id=evil, task=evil, args={evil: evil}, queue=evil, tags=[evil])]
    )

    assert "<script>x" not in _get(client, "/runs", **{"HX-Request": "true"}).text


def test_tag_is_chosen_from_those_known_or_typed(client: FlaskClient) -> None:
    page = _get(client, "/runs?tag=typed").text

    assert re.search(r'<input [^>]*name="tag" list="filter-tags"[^>]*placeholder="And a tag"', page)
    assert re.findall(r'<option value="([^"]+)"></option>', page) == ["nightly"]
    assert '<input type="hidden" name="tag" value="typed">' in page


def test_tag_that_is_asked_for_is_offered_no_more(client: FlaskClient) -> None:
    assert '<option value="nightly"></option>' not in _get(client, "/runs?tag=nightly").text


def test_dialog_has_the_words_and_the_threshold_of_the_question(client: FlaskClient) -> None:
    found = re.search(
        r"data-words='([^']+)' data-typed-above=\"(\d+)\"", _get(client, "/runs").text
    )

    assert found
    assert json.loads(found[1]) == {name: asdict(each) for name, each in ACTIONS.items()}
    assert int(found[2]) == TYPED_ABOVE


def test_rail_leads_to_the_runs(client: FlaskClient) -> None:
    assert re.search(r'<a href="/runs" aria-current="page">', _get(client, "/runs").text)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (None, ""),
        ({}, ""),
        ([], ""),
        ({"a": 1, "b": "x"}, 'a=1 · b="x"'),
        ([1, None, {"a": [2]}], '1 · null · {"a": [2]}'),
        ("text", '"text"'),
        (0, "0"),
        ({"a": {"$redacted": True}, "b": [{"$redacted": True}]}, 'a=⟨redacted⟩ · b=["⟨redacted⟩"]'),
    ],
)
def test_arguments_at_a_glance(args: Any, line: str) -> None:
    assert glance(args) == line


@pytest.mark.parametrize(
    "args", [{"a": "x" * 10**6}, list(range(10**6)), {str(n): n for n in range(10**5)}]
)
def test_glance_is_bounded(args: Any) -> None:
    assert len(glance(args)) == GLANCE_MAX


def test_glance_survives_what_is_nested_too_deep() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert len(glance({"deep": deep})) <= GLANCE_MAX


def test_query_names_each_value_once() -> None:
    assert Query.of(MultiDict([("tag", "a"), ("tag", " a "), ("tag", "b")])).pairs == (
        ("tag", "a"),
        ("tag", "b"),
    )


def test_total_is_counted_only_where_the_page_does_not_tell_it(
    client: FlaskClient, fake: FakeRuns
) -> None:
    fake.answer = RunList(runs=[_run()])
    assert ">1 run<" in _get(client, "/runs").text
    assert fake.counted == []

    fake.answer = RunList(runs=[_run()], next_cursor="more")
    assert "more than 10,000 runs" in _get(client, "/runs?queue=q").text
    assert "more than 1,000 runs" in _get(client, "/runs?q=text").text
    assert [cap for _, cap in fake.counted] == [10_000, 1_000]


def test_row_tells_progress_tags_and_what_it_was_resubmitted_from(
    client: FlaskClient, fake: FakeRuns
) -> None:
    fake.answer = RunList(
        runs=[
            _run(
                state=RunState.STARTED,
                progress=Progress(current=3, total=10),
                tags=["nightly"],
                resubmit_of="the-old-run",
            )
        ]
    )

    html = _get(client, "/runs").text

    assert re.search(r'<progress class="run-progress" max="100" value="30"', html)
    assert _links(html, "run-tag") == ["/runs?tag=nightly"]
    assert _links(html, "run-again") == ["/runs/the-old-run"]


def test_page_tells_scripts_the_filter_as_the_api_takes_it(client: FlaskClient) -> None:
    html = _get(client, "/runs?state=RETRY&tag=it's&queue=a&q=%3Cb%3E&cursor=c").text

    found = re.search(r"data-filter='([^']*)'", html)
    assert found
    assert json.loads(found[1]) == {"state": ["RETRY"], "tag": ["it's"], "queue": "a", "q": "<b>"}
