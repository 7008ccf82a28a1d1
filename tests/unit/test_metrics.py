"""`/metrics`: every number that is known, none that is not, and each of them documented."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from access_app import AccessApp, access_app
from celeriac.access import Role
from celeriac.errors import BrokerUnavailableError
from celeriac.fleet.record import Versions, Worker, WorkerState
from celeriac.lag import RecorderLag
from celeriac.runs import Queue, Runs, StatsBucket
from celeriac.runs.measures import Measurer
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.context import EXTENSION, Context

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
TOKEN = "a-token-of-some-length"
PARTS = ("queues", "workers", "letters", "lag", "recent")


class _Fake:
    """Parts that answer, or are away as a test says."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        found = {name: cast(Any, self._of(name)) for name in PARTS}
        history = type("", (), {"stats": lambda _self, *_: found["recent"]()})()
        queues, workers = (type("", (), {"all": found[n]})() for n in ("queues", "workers"))
        self.measures = Measurer(history, queues, workers, found["letters"], found["lag"])

    def _of(self, name: str) -> Any:
        def answer(*_: object) -> Any:
            if name in self.away:
                raise BrokerUnavailableError("away")
            return _answers()[name]

        return answer


def _answers() -> dict[str, Any]:
    now = datetime.now(UTC)
    ago = now - timedelta(seconds=90)
    bucket = StatsBucket(
        starts_at=NOW, submitted=9, succeeded=6, failed=2, revoked=1, runtime_p50_s=0.5,
        runtime_p95_s=2, waiting_p50_s=None, waiting_p95_s=None,
    )  # fmt: skip
    versions = Versions(celery="5.7.0", celeriac="0.1", python="3.11.7")
    worker = Worker(
        name="w@h", state=WorkerState.LOST, connected=True, heartbeat_at=NOW, started_at=NOW,
        hostname="h", pid=1, pool="prefork", concurrency=4, can_resize=True, versions=versions,
    )  # fmt: skip
    queue = Queue(
        name='a "b"', ready=12, taken=2, running=1, paused=False, consumers=0, oldest_waiting_at=ago
    )
    return {
        "queues": [
            queue,
            Queue(name="held", ready=1, oldest_waiting_at=now + timedelta(hours=1)),
            Queue(name="foreign", ready=3),
            Queue(name="empty", ready=0),
        ],
        "workers": [worker],
        "letters": {"held": 3},
        "lag": RecorderLag(5, 2.5, NOW, is_running=True, problem="disk full"),
        "recent": type("", (), {"total": bucket})(),
    }


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Fake:
    monkeypatch.setattr("celeriac.runs.measures.ANSWER_WITHIN_S", 60.0)
    return _Fake()


@pytest.fixture
def client(fake: _Fake) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    app = create_app(settings, Runs.of(settings))
    _measured_by(app, fake)
    return app.test_client()


def _measured_by(app: Flask, fake: _Fake) -> None:
    real: Context = app.extensions[EXTENSION]
    app.extensions[EXTENSION] = replace(real, runs=cast(Runs, fake))


def _told(client: FlaskClient) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.mimetype == "text/plain"
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return {(s.name.removeprefix("celeriac_"), *s.labels.values()): s.value for s in samples}


def test_every_number_is_told(client: FlaskClient) -> None:
    told = _told(client)

    assert told["queue_ready", 'a "b"'] == 12
    assert 90 <= told["queue_oldest_waiting_seconds", 'a "b"'] < 1800
    assert told["queue_oldest_waiting_seconds", "held"] == 0
    assert told["queue_oldest_waiting_seconds", "empty"] == 0
    assert ("queue_oldest_waiting_seconds", "foreign") not in told, "nobody knows since when"
    assert told["queue_paused", 'a "b"'] == told["queue_consumers", 'a "b"'] == 0
    assert (told["workers", "lost"], told["workers", "online"]) == (1, 0)
    assert told["dead_letters", "held"] == 3
    assert (told["recorder_lag_seconds",], told["recorder_running",]) == (2.5, 0)
    assert (told["runs_recent", "failed"], told["runs_recent", "succeeded"]) == (2, 6)
    assert told["run_runtime_seconds", "0.95"] == 2
    assert {key[1] for key, value in told.items() if key[0] == "answers" and value} == {
        "queues", "workers", "dead_letters", "recorder", "history",
    }  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_what_is_away_is_left_out_and_named(client: FlaskClient, fake: _Fake, part: str) -> None:
    fake.away = {part}

    told = _told(client)

    name, missing = {
        "queues": ("queues", "queue_ready"),
        "workers": ("workers", "workers"),
        "letters": ("dead_letters", "dead_letters"),
        "lag": ("recorder", "recorder_running"),
        "recent": ("history", "runs_recent"),
    }[part]
    assert [key[1] for key, value in told.items() if key[0] == "answers" and not value] == [name]
    assert missing not in {key[0] for key in told}


def test_what_nobody_can_count_is_not_told_as_nothing(client: FlaskClient) -> None:
    told = _told(client)

    assert ("queue_paused", "held") not in told
    assert ("run_waiting_seconds", "0.5") not in told


def test_reference_lists_exactly_what_there_is(client: FlaskClient) -> None:
    documented = re.findall(
        r"^\| `(celeriac_\w+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.M
    )
    told = {f"celeriac_{key[0]}" for key in _told(client)}

    # Nothing has waited in the example.
    assert sorted(documented) == sorted(told | {"celeriac_run_waiting_seconds"})


@pytest.fixture
def guarded(tmp_path: Path, fake: _Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccessApp]:
    monkeypatch.setenv("CELERIAC_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("CELERIAC_TRUSTED_HOSTS", "celeriac.example.org")
    with access_app(tmp_path) as web:
        _measured_by(web.app, fake)
        yield web


def test_token_of_the_settings_opens_the_metrics_and_nothing_else(guarded: AccessApp) -> None:
    client = guarded.app.test_client()
    shown = {"Authorization": f"Bearer {TOKEN}"}

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/metrics", headers=shown).status_code == 200
    assert client.get("/metrics", headers={**shown, "Host": "flask:5000"}).status_code == 200
    local = {**shown, "Host": "localhost"}
    assert client.get("/api/v1/me", headers=local).status_code == 401
    assert client.get("/flower/metrics", headers=local).status_code == 401


def test_viewer_reads_the_metrics(guarded: AccessApp) -> None:
    guarded.add("root", Role.ADMIN)
    headers = guarded.bearer("root", Role.VIEWER)

    assert guarded.app.test_client().get("/metrics", headers=headers).status_code == 200


def test_without_signing_in_only_our_own_names_are_answered(client: FlaskClient) -> None:
    assert client.get("/metrics", headers={"Host": "evil.example"}).status_code == 400
