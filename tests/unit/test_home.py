"""The home page: every part that is there is shown, and every part that is missing says why."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient

from celeriac.errors import BrokerUnavailableError, ResultsUnavailableError
from celeriac.fleet.record import Versions, Worker, WorkerState
from celeriac.history import RunCount, RunFilter
from celeriac.history.statistics import Bucket, Statistics
from celeriac.lag import RecorderLag
from celeriac.losses import Losses
from celeriac.runs import (
    SPANS,
    Failure,
    Progress,
    Queue,
    Queues,
    Run,
    RunHistory,
    RunList,
    Runs,
    RunState,
    StatsBucket,
    Workers,
)
from celeriac.runs.overview import Overview
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.context import EXTENSION, Context
from celeriac.web.home_view import _points, _relative, percent, rate_words

NOW = datetime.now(UTC)
RUN_ID = "01a203aa-0000-7000-8000-000000c9823b"
PARTS = ("stats", "find", "failures", "queues", "workers", "recorder_lag")


class FakeRuns:
    """Parts that answer what a test puts into them, or fail as it says."""

    def __init__(self, catalog: Any) -> None:
        self.catalog = catalog
        self.away: dict[str, Exception] = {}
        self.submitted = 7
        self.counts: dict[str, Any] = {"submitted": 7, "succeeded": 4, "failed": 2, "revoked": 1}
        self.running: list[Run] = []
        self.groups: list[Any] = []
        self.lag = RecorderLag(0, 0.0, NOW, is_running=True)
        self.history = self
        self.queues = _All(self, "queues", [Queue(name="celery_see", ready=12, consumers=1)])
        self.workers = _All(self, "workers", [_worker()])
        self.overview = self.new_overview()
        self.dead_letters = SimpleNamespace(known_counts=None)

    def new_overview(self) -> Overview:
        """Give one that has asked nothing yet."""
        history, queues = cast(RunHistory, self.history), cast(Queues, self.queues)
        workers = cast(Workers, self.workers)
        return Overview(history, queues, workers, self.recorder_lag, lambda: 0)

    def check(self, name: str) -> None:
        if name in self.away:
            raise self.away[name]

    def stats(self, since: datetime, until: datetime, buckets: int) -> Statistics:
        self.check("stats")
        bucket_s = int((until - since).total_seconds()) // buckets
        starts = (since + timedelta(seconds=bucket_s * n) for n in range(buckets))
        found = tuple(replace(_bucket(at, 0), **self.counts) for at in starts)
        return Statistics(bucket_s, found, _bucket(since, self.submitted))

    def find(self, wanted: RunFilter, cursor: str | None = None, limit: int = 50) -> RunList:
        self.check("find")
        if wanted.states:
            return RunList(runs=self.running[:limit], next_cursor="x" if self.running[6:] else None)
        return RunList(runs=self.running or [_run()] * bool(self.submitted))

    def count(self, wanted: RunFilter, cap: int) -> RunCount:
        return RunCount(cap, capped=True)

    def failures(self, since: datetime, limit: int) -> list[Any]:
        self.check("failures")
        return self.groups

    def recorder_lag(self) -> RecorderLag:
        self.check("recorder_lag")
        return self.lag


class _All:
    def __init__(self, runs: FakeRuns, name: str, found: list[Any]) -> None:
        self._runs, self._name, self.found = runs, name, found

    def all(self) -> list[Any]:
        self._runs.check(self._name)
        return self.found


def _bucket(at: datetime, submitted: int) -> Bucket:
    durations = (0.5, 2.0, 0.01, 0.2) if submitted else (None, None, None, None)
    return Bucket(at, submitted, submitted, 0, 0, *durations)


def _run(**given: Any) -> Run:
    default = {"id": RUN_ID, "task": "email.send", "state": RunState.STARTED, "started_at": NOW}
    return Run(**default | given)


def _worker(**given: Any) -> Worker:
    default: dict[str, Any] = {
        "name": "worker1@host", "state": WorkerState.ONLINE, "connected": True,
        "heartbeat_at": NOW, "started_at": NOW, "hostname": "host", "pid": 1, "pool": "prefork",
        "concurrency": 4, "can_resize": True, "active_count": 3,
        "versions": Versions(celery="5.7.0", celeriac="0.1", python="3.11.7"),
    }  # fmt: skip
    return Worker(**default | given)


@pytest.fixture(scope="module")
def app() -> Flask:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    return create_app(settings, Runs.of(settings))


@pytest.fixture
def fake(app: Flask, monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    real: Context = app.extensions[EXTENSION]
    fake = FakeRuns(real.runs.catalog)
    replaced = replace(real, runs=cast(Runs, fake))
    monkeypatch.setattr("celeriac.runs.overview.ANSWER_WITHIN_S", 30.0)
    monkeypatch.setitem(app.extensions, EXTENSION, replaced)
    return fake


@pytest.fixture
def client(app: Flask, fake: FakeRuns) -> FlaskClient:
    return app.test_client()


def _page(client: FlaskClient, path: str = "/", **headers: str) -> str:
    answer = client.get(path, headers={"Accept": "text/html", **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.text


def test_home_shows_every_part(client: FlaskClient, fake: FakeRuns) -> None:
    fake.running = [_run(progress=Progress(current=3, total=4, message="row 3"))]
    fake.groups = [_failure()]

    page = _page(client)

    for text in ("Runs submitted", "celery_see", "<b>12</b> waiting", "worker1@host"):
        assert text in page
    assert "Celery 5.7.0" in page and "<b>3</b> of 4 busy" in page
    assert "row 3" in page and "75 %" in page and f"/runs/{RUN_ID}" in page
    assert "KeyError" in page and "/runs?fingerprint=abc&amp;finished_since=1h" in page
    assert len(_charts(page)["starts"]) == 60


def _failure() -> Failure:
    return Failure(
        fingerprint="abc", count=3, first_seen_at=NOW - timedelta(hours=1), last_seen_at=NOW,
        sample_id=RUN_ID, task="email.send", error_type="shop.errors.KeyError",
        error_message="<b>no</b> such key",
    )  # fmt: skip


def _charts(page: str) -> dict[str, Any]:
    """Read what the charts draw."""
    found = re.search(r"data-points='([^']+)'", page)
    assert found
    charts: dict[str, Any] = json.loads(unescape(found[1]))
    return charts


@pytest.mark.parametrize("part", PARTS)
def test_home_says_what_is_missing_and_shows_the_rest(
    client: FlaskClient, fake: FakeRuns, part: str
) -> None:
    fake.away[part] = ResultsUnavailableError("It is gone fishing.")

    page = _page(client)

    assert ("It is gone fishing." in page) == (part != "recorder_lag")
    assert ("worker1@host" in page) == (part != "workers")
    assert ("<b>12</b>" in page) == (part != "queues")
    assert ("data-chart=" in page) == (part != "stats")


def test_home_is_drawn_when_everything_is_away(client: FlaskClient, fake: FakeRuns) -> None:
    fake.away = {part: BrokerUnavailableError("away") for part in PARTS}

    assert _page(client).count("away</span>") == 5


@pytest.mark.parametrize("name", SPANS)
def test_range_is_in_the_address_and_kept_by_refreshing(client: FlaskClient, name: str) -> None:
    page = _page(client, f"/?range={name}")

    assert re.search(rf'hx-get="/\?range={name}"', page)
    assert page.count(f'title="The last {SPANS[name].words}" aria-current="true"') == 1
    assert len(_charts(page)["starts"]) == SPANS[name].number


def test_unknown_range_is_the_usual_one(client: FlaskClient) -> None:
    assert 'hx-get="/?range=1h"' in _page(client, "/?range=never")


def test_refreshing_gets_the_changing_part_only(client: FlaskClient) -> None:
    part = _page(client, **{"HX-Request": "true"})

    assert "<html" not in part and 'id="tiles"' in part


def test_charts_draw_what_the_page_of_numbers_says(client: FlaskClient) -> None:
    charts = _charts(_page(client, "/?range=24h"))
    numbers = _page(client, "/numbers?range=24h")

    assert charts["bucketS"] == SPANS["24h"].bucket.total_seconds()
    for name in ("throughput", "durations"):
        assert [len(line) for line in charts[name]["values"]] == [96] * len(charts[name]["names"])
        assert all(f'<th scope="col">{word}</th>' in numbers for word in charts[name]["names"])
    assert set(charts["durations"]["words"][0]) == {"\N{EN DASH}"}
    assert numbers.count('<th scope="row">') == 2 * 96


def test_home_sends_no_row_of_the_tables_again_and_again(client: FlaskClient) -> None:
    part = _page(client, "/?range=24h", **{"HX-Request": "true"})

    assert 'href="/numbers?range=24h#throughput"' in part
    assert "<tr" not in part
    assert len(part) < 20_000


def test_page_of_numbers_says_what_is_away(client: FlaskClient, fake: FakeRuns) -> None:
    fake.away["stats"] = ResultsUnavailableError("It is gone fishing.")

    assert "It is gone fishing." in _page(client, "/numbers")


@pytest.mark.parametrize(
    ("times", "state"),
    [
        (("since", "until"), ""),
        (("finished_since", "finished_until"), "SUCCESS"),
        (("finished_since", "finished_until"), "FAILURE&state=DEAD"),
        (("finished_since", "finished_until"), "REVOKED"),
    ],
)
def test_number_leads_to_the_runs_that_it_counts(
    client: FlaskClient, times: tuple[str, str], state: str
) -> None:
    page = _page(client, "/numbers?range=24h").replace("&amp;", "&")

    end = rf"&state={state}" if state else ""
    pattern = rf'/runs\?{times[0]}=([^&"]+)&{times[1]}=([^&"]+){end}"'
    since, until = re.findall(pattern, page)[0]
    width = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    assert width == SPANS["24h"].bucket


def test_newcomer_gets_one_button_and_the_same_by_other_means(
    client: FlaskClient, fake: FakeRuns
) -> None:
    fake.submitted = 0

    page = _page(client)

    assert "Run your first task" in page and 'action="/tasks/text.reverse/runs"' in page
    assert "celeriac submit text.reverse --text" in page
    assert "data-chart=" not in page


def test_lag_is_told_only_when_it_matters(client: FlaskClient, fake: FakeRuns) -> None:
    assert "The numbers are behind" not in _page(client)

    fake.overview = fake.new_overview()
    fake.lag = RecorderLag(1234, 75.0, NOW, is_running=False)

    page = _page(client)
    assert "The numbers are behind" in page and "1,234 events wait" in page
    assert "<code>celeriac recorder</code>" in page


def test_lost_events_are_told_in_the_recorders_words(client: FlaskClient, fake: FakeRuns) -> None:
    fake.overview = fake.new_overview()
    fake.lag = RecorderLag(0, 0.0, NOW, is_running=True, losses=Losses(90, NOW))

    page = _page(client)

    assert "The numbers lack some events" in page and "recorded later" not in page
    assert "90 events were lost before the history had them" in page


def test_more_runs_than_are_shown_are_counted(client: FlaskClient, fake: FakeRuns) -> None:
    fake.running = [_run(id=f"run-{number}") for number in range(9)]

    page = _page(client)

    assert page.count('class="running-row"') == 6
    assert "1,000+ running" in page


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ({"state": WorkerState.LOST}, "lost, last seen"),
        ({"state": WorkerState.STOPPING}, "stopping,"),
        ({"connected": False}, "not connected to the broker"),
        ({"concurrency": 0, "active_count": 0}, "<b>0</b> of 0 busy"),
    ],
)
def test_worker_says_how_it_is(
    client: FlaskClient, fake: FakeRuns, worker: dict[str, Any], words: str
) -> None:
    fake.workers.found = [_worker(**worker)]

    assert words in _page(client)


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        ({"paused": True}, "paused"),
        ({"consumers": 0}, "no worker"),
        ({"ready": None}, "unknown"),
        ({"running": 3}, "3 running"),
    ],
)
def test_queue_says_how_it_is(
    client: FlaskClient, fake: FakeRuns, queue: dict[str, Any], words: str
) -> None:
    fake.queues.found = [Queue(**{"name": "q", "ready": 1, "consumers": 1} | queue)]

    assert words in _page(client)


# --- Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "\N{EN DASH}"), (1, "100 %"), (0, "0 %"), (0.98765, "98.8 %"), (0.99999, "> 99.9 %"),
     (0.00001, "< 0.1 %")],
)  # fmt: skip
def test_share_never_reads_as_all_or_none_when_it_is_not(share: float | None, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("now", "before", "good", "expected"),
    [
        (110, 100, None, ("10 %", "up", "flat")),
        (50, 100, "down", ("50 %", "down", "good")),
        (2.0, 1.0, "down", ("100 %", "up", "bad")),
        (1000, 10, None, ("100 times", "up", "flat")),
        (1001, 1000, None, ("as before", "", "flat")),
    ],
)
def test_change_is_told_by_proportion(
    now: float, before: float, good: str | None, expected: tuple[str, str, str]
) -> None:
    change = _relative(now, before, good)

    assert change is not None
    assert (change.words, change.arrow, change.mood) == expected


def test_nothing_is_compared_with_nothing() -> None:
    assert _relative(5, 0, None) is None
    assert _relative(None, 5, None) is None
    assert _points(0.5, None) is None


def test_shares_are_compared_by_points() -> None:
    change = _points(0.95, 0.99)

    assert change is not None and (change.words, change.mood) == ("4.0 points", "bad")


# --- Spans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPANS)
def test_span_ends_with_the_bucket_that_has_begun(name: str) -> None:
    span = SPANS[name]
    since, until = span.bounds(datetime(2030, 1, 31, 9, 17, 42, tzinfo=UTC))

    assert until - since == span.length
    assert until - span.bucket <= datetime(2030, 1, 31, 9, 17, 42, tzinfo=UTC) < until
    assert until.timestamp() % span.bucket.total_seconds() == 0


def test_bucket_of_the_api_has_all_that_the_history_counts() -> None:
    assert set(StatsBucket.model_fields) == set(Bucket.__dataclass_fields__)


@pytest.mark.parametrize(
    ("count", "minutes", "words"),
    [
        (0, 60, "0 a minute"),
        (2, 60, "2 an hour"),
        (90, 60, "1.5 a minute"),
        (3, 7 * 1440, "0.429 a day"),
    ],
)
def test_rate_is_told_in_a_unit_that_can_be_pictured(
    count: int, minutes: float, words: str
) -> None:
    assert rate_words(count, minutes) == words
