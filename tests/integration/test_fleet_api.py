"""Queues and workers by HTTP, by command and as pages, with a real worker."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from eventually import eventually
from processes import free_port
from services import Services
from worker_process import celeriac_environment, running_worker

API = "/api/v1"
QUEUES = {"CELERIAC_QUEUES": "other"}


@pytest.fixture(scope="module")
def client(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("fleet-api")
    settings = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        data_dir=folder,
        queues="other",
    )
    with running_worker(folder, *services, QUEUES):
        client = create_app(settings, Runs.of(settings)).test_client()
        eventually(lambda: _worker(client)["queues"], deadline_s=20)
        yield client


@pytest.fixture
def paused(client: FlaskClient) -> Iterator[None]:
    """Hold the queue `other` back with two runs in it."""
    try:
        client.post(f"{API}/queues/other/pause")
        eventually(lambda: _worker(client)["paused"] == ["other"], deadline_s=30)
        for _ in range(2):
            body = {"args": {"text": "abc"}, "options": {"queue": "other"}}
            assert client.post(f"{API}/tasks/text.reverse/runs", json=body).status_code == 202
        eventually(lambda: client.get(f"{API}/queues/other").json["ready"] == 2)
        yield
    finally:
        client.post(f"{API}/queues/other/purge", json={"confirm": "other"})
        client.post(f"{API}/queues/other/resume")
        # The next test would take what the worker said last for an answer to its own pause.
        eventually(lambda: _worker(client)["paused"] == [], deadline_s=30)


def _worker(client: FlaskClient) -> dict[str, Any]:
    (worker,) = client.get(f"{API}/workers").json["workers"]
    found: dict[str, Any] = worker
    return found


def test_queues_are_listed(client: FlaskClient, paused: None) -> None:
    queues = {each["name"]: each for each in client.get(f"{API}/queues").json["queues"]}

    assert queues["celery_see"]["consumers"] == 1
    assert queues["celery_see"]["paused"] is False
    assert (queues["other"]["ready"], queues["other"]["paused"]) == (2, True)
    assert queues["other"]["workers"] == [_worker(client)["name"]]


def test_pause_ends_when_the_queue_is_resumed(client: FlaskClient, paused: None) -> None:
    assert client.post(f"{API}/queues/other/resume").json["paused"] is False

    eventually(lambda: client.get(f"{API}/queues/other").json["ready"] == 0, deadline_s=20)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"confirm": "othr"}, "/confirm"), ({}, "/confirm"), ({"confirm": "other", "x": 1}, "/x")],
)
def test_purge_needs_the_name(
    client: FlaskClient, paused: None, body: dict[str, Any], pointer: str
) -> None:
    response = client.post(f"{API}/queues/other/purge", json=body)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]
    assert client.get(f"{API}/queues/other").json["ready"] == 2


def test_purge_tells_how_many_are_gone(client: FlaskClient, paused: None) -> None:
    response = client.post(f"{API}/queues/other/purge", json={"confirm": "other"})

    assert response.json == {"purged": 2, "kept": 0, "left": 0}


@pytest.mark.parametrize("action", ["", "/pause", "/resume", "/purge"])
def test_unknown_queue_is_404_with_near_names(client: FlaskClient, action: str) -> None:
    ask = client.post if action else client.get
    response = ask(f"{API}/queues/othr{action}", json={"confirm": "othr"})

    assert (response.status_code, response.json["code"]) == (404, "unknown_queue")
    assert response.json["near"] == ["other"]


@pytest.mark.parametrize("action", ["", "/grow", "/shrink", "/shutdown"])
def test_unknown_worker_is_404(client: FlaskClient, action: str) -> None:
    ask = client.post if action else client.get
    response = ask(f"{API}/workers/nobody@nowhere{action}")

    assert (response.status_code, response.json["code"]) == (404, "unknown_worker")


def test_worker_is_shown_and_resized(client: FlaskClient) -> None:
    name = _worker(client)["name"]

    assert client.post(f"{API}/workers/{name}/grow", json={"by": 2}).status_code == 202

    eventually(lambda: client.get(f"{API}/workers/{name}").json["concurrency"] == 4)
    refused = client.post(f"{API}/workers/{name}/shrink", json={"by": 4})
    assert (refused.status_code, refused.json["code"]) == (409, "worker_refused")
    wrong = client.post(f"{API}/workers/{name}/grow", json={"by": 0})
    assert [error["pointer"] for error in wrong.json["errors"]] == ["/by"]


def test_page_of_a_refusal_leads_back_to_the_worker(client: FlaskClient) -> None:
    path = f"/workers/{_worker(client)['name']}"

    client.application.config["WTF_CSRF_ENABLED"] = False
    page = client.post(f"{path}/shutdown", headers={"Accept": "text/html"})

    assert page.status_code == 409
    assert f'class="btn btn-primary" href="{path}"' in page.text


def test_page_of_a_long_purge_goes_on_from_step_to_step(
    client: FlaskClient, paused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.runs.purge.BATCH", 1)
    monkeypatch.setattr("celeriac.web.fleet_pages.PURGE_STEP_S", 0)
    client.application.config["WTF_CSRF_ENABLED"] = False

    page = client.post("/queues/other/purge", data={"confirm": "other"})
    fields = dict(re.findall(r'name="(confirm|purged|most)" value="(\w+)"', page.text))
    last = client.post("/queues/other/purge", data=fields)

    assert fields == {"confirm": "other", "purged": "1", "most": "1"}
    assert "1 purged, 1 left" in page.text
    assert last.status_code == 303
    assert "2 purged from other" in client.get("/queues").text


def test_lists_without_servers(tmp_path: Path) -> None:
    settings = load_settings(
        join_stack=False,
        broker_url=f"redis://127.0.0.1:{free_port()}/0",
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        data_dir=tmp_path,
    )
    client = create_app(settings, Runs.of(settings)).test_client()

    (queue,) = client.get(f"{API}/queues").json["queues"]
    assert (queue["ready"], queue["paused"]) == (None, None)
    page = client.get("/queues", headers={"Accept": "text/html"})
    assert "The broker is away" in page.text and "Redis is away" in page.text
    assert client.get(f"{API}/workers").status_code == 503
    assert client.get("/workers", headers={"Accept": "text/html"}).status_code == 503


def test_page_of_workers_teaches_how_to_start_one(services: Services, tmp_path: Path) -> None:
    settings = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url.rpartition("/")[0] + "/9",
        data_dir=tmp_path,
    )
    page = create_app(settings, Runs.of(settings)).test_client().get("/workers")

    assert "No workers yet" in page.text and "celeriac worker" in page.text


def test_commands_list_pause_and_purge(
    client: FlaskClient, services: Services, paused: None, tmp_path: Path
) -> None:
    env = celeriac_environment(tmp_path, *services) | QUEUES

    def celeriac(*arguments: str) -> str:
        command = [sys.executable, "-m", "celeriac", *arguments]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    queues = {each["name"]: each for each in json.loads(celeriac("queues", "list", "--json"))}
    assert (queues["other"]["ready"], queues["other"]["paused"]) == (2, True)
    assert "paused" in celeriac("queues", "list")
    assert celeriac("queues", "purge", "other", "--yes") == "2 purged\n"
    assert "is resumed" in celeriac("queues", "resume", "other")
    (worker,) = json.loads(celeriac("workers", "list", "--json"))
    assert worker["name"] in celeriac("workers", "list")
