"""Statistics and failures by HTTP and by command, from both databases."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient

from celeriac.cli.stats import stats
from celeriac.history import History
from celeriac.lag import show_life
from celeriac.runs import Runs
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from history_events import ERROR, START, Stream
from processes import LOOPBACK, free_port
from servers import RedisServer

LAST_TWO_HOURS = "/api/v1/stats?since=2h&buckets=24"


@pytest.fixture
def settings(valkey_server: RedisServer, history_url: str) -> Settings:
    valkey_server.flush()
    return load_settings(
        join_stack=False,
        broker_url=valkey_server.url,
        redis_url=valkey_server.url,
        history_url=history_url,
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[FlaskClient]:
    with _client(settings) as client:
        yield client


@contextmanager
def _client(settings: Settings) -> Iterator[FlaskClient]:
    runs = Runs.of(settings)
    with closing(runs.history):
        yield create_app(settings, runs).test_client()


def _get(api: FlaskClient, path: str) -> Any:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def _fill(history: History) -> Stream:
    stream = Stream()
    for second in range(0, 600, 60):
        stream.run(second)
    for second in range(0, 180, 60):
        stream.run(second, "FAILURE", error=ERROR | {"message": f"Order {second} is lost"})
    stream.run(30, "REVOKED")
    stream.run(40, "PENDING")
    history.apply(stream.events)
    return stream


def test_stats_count_what_happened(api: FlaskClient, history: History) -> None:
    _fill(history)

    found = _get(api, LAST_TWO_HOURS)

    total = found["total"]
    counts = {name: total[name] for name in ("submitted", "succeeded", "failed", "revoked")}
    assert counts == {"submitted": 15, "succeeded": 10, "failed": 3, "revoked": 1}
    assert total["runtime_p50_s"] == pytest.approx(2, rel=0.05)
    assert total["waiting_p95_s"] == pytest.approx(1, rel=0.05)
    assert found["bucket_s"] == 300
    starts = [datetime.fromisoformat(each["starts_at"]) for each in found["buckets"]]
    assert {later - at for at, later in pairwise(starts)} == {timedelta(minutes=5)}
    assert starts[0] == datetime.fromisoformat(found["since"])
    for name, number in counts.items():
        assert sum(each[name] for each in found["buckets"]) == number


def test_stats_of_a_given_time_leave_out_the_rest(api: FlaskClient, history: History) -> None:
    _fill(history)
    since = START.replace(second=0) + timedelta(minutes=5)
    until = since + timedelta(minutes=3)

    found = api.get("/api/v1/stats", query_string={"since": since, "until": until}).get_json()

    assert len(found["buckets"]) == 3
    assert found["total"]["succeeded"] == 3
    assert found["until"] == until.isoformat().replace("+00:00", "Z")


def test_stats_of_a_time_without_runs_are_zeros(api: FlaskClient, history: History) -> None:
    found = _get(api, "/api/v1/stats")

    assert len(found["buckets"]) in (60, 61)
    assert found["total"]["submitted"] == 0
    assert found["total"]["runtime_p50_s"] is None


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=yesterday", "/since"),
        ("since=1h&until=2h", "/since"),
        ("since=99999d", "/since"),
        ("until=soon", "/until"),
        ("buckets=0", "/buckets"),
        ("buckets=many", "/buckets"),
    ],
)
def test_stats_name_what_makes_no_sense(
    api: FlaskClient, history: History, query: str, pointer: str
) -> None:
    answer = api.get(f"/api/v1/stats?{query}")

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == pointer


def test_stats_tell_that_a_recorder_runs(
    api: FlaskClient, history: History, valkey_server: RedisServer
) -> None:
    with valkey_server.client() as client:
        show_life(client)

    recorder = _get(api, "/api/v1/stats")["recorder"]

    assert recorder == {
        "lag_entries": 0, "lag_s": 0.0, "last_recorded_at": None, "running": True, "problem": None,
        "lost_entries": 0,
    }  # fmt: skip


def test_stats_come_without_redis_too(settings: Settings, history: History) -> None:
    _fill(history)
    away = load_settings(
        join_stack=False,
        broker_url=f"redis://{LOOPBACK}:{free_port()}",
        redis_url=f"redis://{LOOPBACK}:{free_port()}",
        history_url=settings.history_address,
    )

    with _client(away) as api:
        found = _get(api, LAST_TWO_HOURS)

    assert (found["total"]["submitted"], found["recorder"]) == (15, None)


def test_stats_without_history_say_so(valkey_server: RedisServer) -> None:
    away = load_settings(
        join_stack=False,
        broker_url=valkey_server.url,
        redis_url=valkey_server.url,
        history_url=f"postgresql://nobody:secret@{LOOPBACK}:{free_port()}/none",
    )

    for path in ("/api/v1/stats", "/api/v1/failures"):
        with _client(away) as api:
            answer = api.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "history_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "secret" not in answer.text


def test_failures_that_look_the_same_are_one(api: FlaskClient, history: History) -> None:
    stream = _fill(history)
    other = stream.run(700, "FAILURE", error=ERROR | {"type": "KeyError"}, task="shop.ship")
    history.apply(stream.events)

    newest, older = _get(api, "/api/v1/failures?since=2h")["failures"]

    assert (newest["count"], newest["sample_id"], newest["task"]) == (1, other, "shop.ship")
    assert (older["count"], older["error_type"]) == (3, "ValueError")
    assert older["error_message"] == "Order 120 is lost"
    assert older["first_seen_at"] < older["last_seen_at"] < newest["last_seen_at"]


def test_fingerprint_finds_the_runs_of_a_group(api: FlaskClient, history: History) -> None:
    stream = _fill(history)
    stream.run(700, "FAILURE", error=ERROR | {"type": "KeyError"})
    history.apply(stream.events)
    _, older = _get(api, "/api/v1/failures?since=2h")["failures"]

    found = _get(api, f"/api/v1/runs?fingerprint={older['fingerprint']}")["runs"]

    assert len(found) == older["count"] == 3
    assert {run["error"]["type"] for run in found} == {"ValueError"}
    page = api.get(f"/runs?fingerprint={older['fingerprint']}", headers={"Accept": "text/html"})
    assert page.text.count('class="run-row"') == 3
    assert "Failures alike" in page.text


def test_failures_end_at_their_limit(api: FlaskClient, history: History) -> None:
    stream = Stream()
    for number in range(4):
        stream.run(number, "FAILURE", error=ERROR | {"type": f"Error{'abcd'[number]}"})
    history.apply(stream.events)

    assert len(_get(api, "/api/v1/failures?since=2h&limit=3")["failures"]) == 3


def test_stats_command_prints_what_the_api_gives(
    api: FlaskClient,
    settings: Settings,
    history: History,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fill(history)
    monkeypatch.setattr("celeriac.cli.stats.servers", lambda: settings)

    stats(since="2h", until=None, buckets=24, as_json=True)
    found = json.loads(capsys.readouterr().out)
    stats(since="2h", until=None, buckets=24, as_json=False)
    shown = capsys.readouterr().out

    assert found["total"] == _get(api, LAST_TWO_HOURS)["total"]
    assert "succeeded" in shown and "76.92 %" in shown and "█" in shown
    assert datetime.now(UTC).astimezone().strftime("%Y") in shown
