"""Bulk actions on real runs: through the history, a real broker, Redis and a worker."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

import servers
from celeriac.history import History, RunFilter
from celeriac.recorder import Recorder
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from eventually import eventually
from history_events import Stream
from processes import ChildProcess
from services import Services
from worker_process import celeriac_environment, running_worker

MAIL = {"to": ["somebody@example.com"], "subject": "Hi", "body": "Hello"}
LAST_PRIME = {"limit": 2_000_000_000}


@pytest.fixture(scope="module")
def settings(
    services: Services,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """Give the embedded server a file for its history, and RabbitMQ and Redis a database server."""
    url = f"sqlite:///{tmp_path_factory.mktemp('history')}/history.db"
    if services.broker_url.startswith("amqp"):
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(f"bulk_{uuid4().hex}")
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        history_url=url,
    )


@pytest.fixture(scope="module")
def runs(settings: Settings) -> Iterator[Runs]:
    runs = Runs.of(settings)
    yield runs
    runs.history._history.close()


@pytest.fixture(scope="module")
def api(settings: Settings, runs: Runs) -> FlaskClient:
    return create_app(settings, runs).test_client()


@pytest.fixture(scope="module", autouse=True)
def _recorder(settings: Settings, services: Services) -> Iterator[None]:
    history = History(settings.history_address)
    history.migrate()
    stop = Flag()
    recorder = Recorder(services.redis_url, history, keep=timedelta(days=90))
    thread = Thread(target=recorder.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(10)
    history.close()


@pytest.fixture(scope="module", autouse=True)
def _worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_worker(tmp_path_factory.mktemp("worker"), *services):
        yield


def _submit(runs: Runs, task: str, args: dict[str, Any], tag: str, count: int) -> list[str]:
    options = SubmitOptions.of({"tags": [tag]})
    return [runs.submit(task, args, options).id for _ in range(count)]


def _states(runs: Runs, tag: str) -> Counter[str]:
    return Counter(run.state.value for run in runs.history.find(RunFilter(tags=(tag,))).runs)


def _lines(api: FlaskClient, action: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.post(f"/api/v1/runs/{action}", json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_cancel_ends_the_runs_that_the_filter_finds_and_no_others(
    api: FlaskClient, runs: Runs
) -> None:
    _submit(runs, "primes.count", LAST_PRIME, "stop", 8)
    kept = _submit(runs, "text.reverse", {"text": "ab"}, "keep", 3)
    eventually(lambda: _states(runs, "stop") == {"STARTED": 2, "PENDING": 6}, deadline_s=30)
    body = {"filter": {"tag": ["stop"]}}

    dry = api.post("/api/v1/runs/cancel", json=body | {"dry_run": True}).get_json()
    last = _lines(api, "cancel", body)[-1]

    assert dry == {"matched": 8, "capped": False}
    assert (last["done"], last["failed"], last["finished"]) == (8, 0, True)
    eventually(lambda: _states(runs, "stop") == {"REVOKED": 8}, deadline_s=30)
    eventually(lambda: _states(runs, "keep") == {"SUCCESS": len(kept)}, deadline_s=30)
    assert _lines(api, "cancel", body)[-1]["matched"] == 0


def test_resubmit_makes_each_failed_run_anew_once(api: FlaskClient, runs: Runs) -> None:
    failed = _submit(runs, "email.send", MAIL, "mails", 12)
    eventually(lambda: _states(runs, "mails") == {"FAILURE": 12}, deadline_s=30)
    body = {"filter": {"tag": ["mails"]}}

    first = _lines(api, "resubmit", body)[-1]
    at_once = _lines(api, "resubmit", body | {"filter": {"ids": failed}})[-1]

    assert (first["done"], first["finished"]) == (12, True)
    assert (at_once["done"], at_once["skipped"]) == (0, 12)
    eventually(lambda: _states(runs, "mails") == {"FAILURE": 24}, deadline_s=30)
    of = Counter(run.resubmit_of for run in runs.history.find(RunFilter(tags=("mails",))).runs)
    assert of == Counter(failed) + Counter({None: 12})


def test_key_that_a_client_chose_stands_in_the_way_of_no_resubmit(
    api: FlaskClient, runs: Runs
) -> None:
    [failed] = _submit(runs, "email.send", MAIL, "chosen", 1)
    eventually(lambda: _states(runs, "chosen")["FAILURE"] == 1, deadline_s=60)
    for key in (failed, f"celeriac-resubmit-{failed}"):
        headers = {"Idempotency-Key": f'"{key}"'}
        body = {"args": {"text": "ab"}}
        answer = api.post("/api/v1/tasks/text.reverse/runs", json=body, headers=headers)
        assert answer.status_code == 202, answer.text

    last = _lines(api, "resubmit", {"filter": {"tag": ["chosen"]}})[-1]

    assert (last["done"], last["failed"]) == (1, 0)


def test_identifiers_choose_runs_whose_state_fits(api: FlaskClient, runs: Runs) -> None:
    options = SubmitOptions.of({"tags": ["gone"], "countdown": 600})
    held = runs.submit("text.reverse", {"text": "ab"}, options).id
    eventually(lambda: _states(runs, "gone")["SCHEDULED"] == 1)

    by_ids = {"filter": {"ids": [held, "no-such-run"]}}

    assert _lines(api, "resubmit", by_ids)[-1]["matched"] == 0
    assert _lines(api, "cancel", by_ids)[-1]["done"] == 1


def test_resubmit_stops_when_redis_goes_away_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/history.db"
    history = History(address)
    history.migrate()
    stream = Stream()
    failed = [
        stream.run(n, "FAILURE", task="text.reverse", args={"text": "ab"}) for n in range(120)
    ]
    history.apply(stream.events)

    with servers.valkey_server(tmp_path) as server, server.client() as client:
        bulk = _runs_on(server.url, address).bulk
        for progress in bulk.resubmit(RunFilter(), every=True, rate=100):
            if progress.done > 20 and not progress.stopped:
                client.client_pause(60_000, all=False)  # From here on no write is answered.
        client.client_unpause()
        last = list(bulk.resubmit(RunFilter(), every=True))[-1]
        queues = client.keys("celery_see*")  # One for each priority.
        messages = [json.loads(text) for queue in queues for text in client.lrange(queue, 0, -1)]

    assert progress.stopped and "of 120 runs. Ask again" in progress.stopped
    assert 20 < progress.done < 120
    assert last.finished
    of = Counter(message["headers"]["celeriac_resubmit_of"] for message in messages)
    assert max(of.values()) == 1
    # The one that was on its way is nobody's for a minute: it may have got through.
    assert len(failed) - 1 <= len(of) <= len(failed)
    history.close()


def _runs_on(url: str, history_url: str) -> Runs:
    settings = load_settings(
        join_stack=False, broker_url=url, redis_url=url, history_url=history_url
    )
    return Runs.of(settings)


@pytest.fixture(scope="module")
def environment(
    settings: Settings, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("command")
    return {
        **celeriac_environment(folder, *services),
        "CELERIAC_HISTORY_URL": settings.history_address,
        "COLUMNS": "200",
    }


def _command(
    environment: dict[str, str], *arguments: str, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celeriac", "runs", *arguments],
        env=environment,
        cwd=environment["HOME"],
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_command_asks_before_it_cancels(runs: Runs, environment: dict[str, str]) -> None:
    options = SubmitOptions.of({"tags": ["asked"], "countdown": 600})
    held = [runs.submit("text.reverse", {"text": "ab"}, options).id for _ in range(3)]
    eventually(lambda: _states(runs, "asked") == {"SCHEDULED": 3})

    refused = _command(environment, "cancel", "--tag", "asked", answer="n\n")
    counted = _command(environment, "cancel", "--tag", "asked", "--dry-run")
    agreed = _command(environment, "cancel", "--tag", "asked", answer="y\n")

    assert (refused.returncode, "Cancel 3 runs?" in refused.stdout) == (1, True)
    assert counted.stdout.strip() == "3 runs would be gone through."
    assert agreed.stdout.strip().endswith("Cancelled 3, skipped 0, failed 0.")
    assert agreed.returncode == 0, agreed.stderr
    assert len(held) == 3


def test_command_refuses_to_mean_every_run_by_accident(environment: dict[str, str]) -> None:
    refused = _command(environment, "cancel", "--yes")

    assert (refused.returncode, "--all" in refused.stderr) == (2, True)


def test_command_resubmits_and_prints_lines_for_programs(
    runs: Runs, environment: dict[str, str]
) -> None:
    _submit(runs, "email.send", MAIL, "by-command", 3)
    eventually(lambda: _states(runs, "by-command") == {"FAILURE": 3}, deadline_s=30)

    done = _command(environment, "resubmit", "--tag", "by-command", "--yes", "--json")

    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["done"], last["finished"]) == (0, 3, True)


def test_command_lists_page_by_page_or_all(runs: Runs, environment: dict[str, str]) -> None:
    made = _submit(runs, "text.reverse", {"text": "ab"}, "pages", 5)
    eventually(lambda: _states(runs, "pages") == {"SUCCESS": 5}, deadline_s=30)

    first = _command(environment, "list", "--tag", "pages", "--limit", "3")
    cursor = first.stderr.split()[-1]
    second = _command(environment, "list", "--tag", "pages", "--cursor", cursor)
    every = _command(environment, "list", "--tag", "pages", "--all", "--json")

    found = [run_id for run_id in reversed(made) if run_id in first.stdout]
    assert found + [run_id for run_id in reversed(made) if run_id in second.stdout] == made[::-1]
    assert second.stderr == ""
    assert [json.loads(line)["id"] for line in every.stdout.splitlines()] == made[::-1]


def test_command_follows_runs_until_ctrl_c(
    runs: Runs, environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["runs", "tail", "--task", "text.reverse", "--state", "success"]
    command = [sys.executable, "-m", "celeriac", *arguments]
    tail = ChildProcess(command, tmp_path / "tail.log", environment, tmp_path)

    def submitted_and_seen() -> str:
        runs.submit("text.reverse", {"text": "ab"}, SubmitOptions())
        return tail.log_path.read_text()

    tail.start()
    try:
        eventually(submitted_and_seen, deadline_s=60)
        os.kill(tail.pid, signal.SIGINT)
        eventually(lambda: not tail.is_running, deadline_s=20)
    finally:
        code = tail.stop()

    line = tail.log_path.read_text().splitlines()[0]
    assert code == 0
    assert "SUCCESS" in line and "text.reverse" in line and "worker1@" in line
