"""The HTTP API with a real broker, a real result backend and a real worker."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from kombu import Queue

from celeriac.runs import Runs
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from eventually import eventually
from services import Services
from worker_process import running_worker

RUNS = "/api/v1/tasks/{}/runs"
REVERSE = RUNS.format("text.reverse")
PRIMES = RUNS.format("primes.count")


@pytest.fixture(scope="module")
def settings(services: Services) -> Settings:
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        max_body_bytes=20_000,
    )


@pytest.fixture(scope="module")
def runs(settings: Settings) -> Runs:
    return Runs.of(settings)


@pytest.fixture(scope="module")
def api(settings: Settings, runs: Runs) -> FlaskClient:
    return create_app(settings, runs).test_client()


@pytest.fixture(scope="module", autouse=True)
def _worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_worker(tmp_path_factory.mktemp("worker"), *services):
        yield


def _finished(api: FlaskClient, location: str, wait_s: int = 20) -> dict[str, Any]:
    run: dict[str, Any] = api.get(location, headers={"Prefer": f"wait={wait_s}"}).get_json()
    assert run["finished_at"], run
    return run


def test_submit_answers_202_and_the_run_ends_with_its_result(api: FlaskClient) -> None:
    answer = api.post(REVERSE, json={"args": {"text": "añ👩‍👩‍👧"}})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{answer.get_json()['id']}"
    assert answer.headers["Retry-After"]
    run = _finished(api, answer.headers["Location"])
    assert run["state"] == "SUCCESS"
    assert run["result"] == "👩‍👩‍👧ña"
    assert run["args"] == {"text": "añ👩‍👩‍👧"}
    assert (run["queue"], run["attempts"]) == ("celery_see", 1)
    assert run["worker"].startswith("worker1@")
    assert run["submitted_at"] <= run["started_at"] <= run["finished_at"]


def test_identifiers_sort_by_time(api: FlaskClient) -> None:
    found = [api.post(REVERSE, json={"args": {"text": "a"}}).get_json()["id"] for _ in range(20)]

    assert found == sorted(found)


def test_prefer_wait_answers_200_with_the_finished_run(api: FlaskClient) -> None:
    answer = api.post(REVERSE, json={"args": {"text": "ab"}}, headers={"Prefer": "wait=20"})

    assert (answer.status_code, answer.get_json()["result"]) == (200, "ba")


def test_prefer_wait_gives_up_after_its_time(api: FlaskClient) -> None:
    body = {"args": {"text": "ab"}, "options": {"countdown": 60}}

    started_s = time.monotonic()
    answer = api.post(REVERSE, json=body, headers={"Prefer": "wait=1"})

    assert 0.9 <= time.monotonic() - started_s < 5
    assert (answer.status_code, answer.get_json()["state"]) == (202, "SCHEDULED")


def test_replay_with_prefer_wait_answers_with_the_finished_run(api: FlaskClient) -> None:
    headers = {"Idempotency-Key": '"waits the second time"'}
    first = api.post(REVERSE, json={"args": {"text": "ab"}}, headers=headers)

    again = api.post(
        REVERSE, json={"args": {"text": "ab"}}, headers=headers | {"Prefer": "wait=20"}
    )
    at_once = api.post(REVERSE, json={"args": {"text": "ab"}}, headers=headers)

    assert (again.status_code, again.get_json()["result"]) == (200, "ba")
    assert again.headers["Location"] == first.headers["Location"]
    assert (at_once.status_code, at_once.get_json()) == (202, first.get_json())


def test_countdown_holds_the_run_back(api: FlaskClient) -> None:
    answer = api.post(REVERSE, json={"args": {"text": "ab"}, "options": {"countdown": 1.5}})

    run = _finished(api, answer.headers["Location"])
    waited = datetime.fromisoformat(run["started_at"]) - datetime.fromisoformat(run["submitted_at"])
    assert waited >= timedelta(seconds=1.4)
    assert run["eta"]


def test_eta_in_the_past_runs_now(api: FlaskClient) -> None:
    body = {"args": {"text": "ab"}, "options": {"eta": "2020-01-01T00:00:00Z"}}

    answer = api.post(REVERSE, json=body, headers={"Prefer": "wait=20"})

    assert (answer.status_code, answer.get_json()["eta"]) == (200, None)


def test_run_that_expired_does_not_start(api: FlaskClient) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    body = {"args": {"text": "ab"}, "options": {"expires": past}}

    run = _finished(api, api.post(REVERSE, json=body).headers["Location"])

    assert (run["state"], run["started_at"]) == ("REVOKED", None)


def test_run_reports_progress_and_can_be_cancelled(api: FlaskClient) -> None:
    location = api.post(PRIMES, json={"args": {"limit": 2_000_000_000}}).headers["Location"]
    running = eventually(
        lambda: (run := api.get(location).get_json())["progress"] and run, deadline_s=20
    )

    answer = api.post(f"{location}/cancel")

    assert running["state"] == "STARTED"
    assert 0 < running["progress"]["current"] < running["progress"]["total"] == 2_000_000_000
    assert "primes so far" in running["progress"]["message"]
    assert answer.status_code == 202
    assert _finished(api, location)["state"] == "REVOKED"
    assert api.post(f"{location}/cancel").status_code == 409


def test_waiting_run_can_be_cancelled(api: FlaskClient) -> None:
    body = {"args": {"text": "ab"}, "options": {"countdown": 60}}
    location = api.post(REVERSE, json=body).headers["Location"]

    assert api.post(f"{location}/cancel").status_code == 202

    run = _finished(api, location)
    assert (run["state"], run["started_at"]) == ("REVOKED", None)


def test_higher_priority_goes_first(api: FlaskClient) -> None:
    # They keep both children of the worker busy while the others queue up.
    body = {"args": {"limit": 2_000_000_000}}
    busy = [api.post(PRIMES, json=body).headers["Location"] for _ in range(4)]
    low = [_submit_with_priority(api, 1) for _ in range(6)]
    high = _submit_with_priority(api, 9)
    for location in busy:
        assert api.post(f"{location}/cancel").status_code == 202

    started_at = _finished(api, high, 60)["started_at"]

    overtaken = [_finished(api, each, 60)["started_at"] > started_at for each in low]
    assert sum(overtaken) >= 3, overtaken


def _submit_with_priority(api: FlaskClient, priority: int) -> str:
    body = {"args": {"text": "ab"}, "options": {"priority": priority}}
    return api.post(REVERSE, json=body).headers["Location"]


def test_failed_run_tells_type_message_and_traceback(api: FlaskClient) -> None:
    body = {"args": {"to": ["somebody@example.com"], "subject": "Hi", "body": "Hello"}}

    location = api.post(RUNS.format("email.send"), json=body).headers["Location"]

    run = _finished(api, location)
    assert run["state"] == "FAILURE"
    assert run["error"]["type"] == "ConfigurationError"
    assert "CELERIAC_SMTP_URL" in run["error"]["message"]
    assert "Traceback" in run["error"]["traceback"]


def test_catalog_lists_tasks_with_their_schemas(api: FlaskClient) -> None:
    tasks = {task["name"]: task for task in api.get("/api/v1/tasks").get_json()["tasks"]}

    assert {"email.send", "primes.count", "text.reverse", "text.sentiment"} <= set(tasks)
    assert tasks["text.reverse"]["parameters"]["required"] == ["text"]
    assert api.get("/api/v1/tasks/text.reverse").get_json() == tasks["text.reverse"]


def test_readyz_names_each_dependency(api: FlaskClient) -> None:
    answer = api.get("/readyz")

    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ready", "checks": {"broker": "ok", "redis": "ok"}}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "pointers"),
    [
        (RUNS.format("no.such"), "{}", {}, 404, []),
        (REVERSE, "{}", {}, 422, ["/args/text"]),
        (REVERSE, '{"args": {"text": 5}}', {}, 422, ["/args/text"]),
        (REVERSE, '{"args": {"text": "a", "x": 1}}', {}, 422, ["/args/x"]),
        (REVERSE, '{"args": [1]}', {}, 422, ["/args"]),
        (REVERSE, '{"argz": {}}', {}, 422, ["/argz"]),
        (REVERSE, "[]", {}, 422, [""]),
        (REVERSE, '{"args": {"text": "\\ud800"}}', {}, 422, [""]),
        (REVERSE, '{"args": {"text": "a"}, "options": {"countdown": -1}}', {}, 422,
         ["/options/countdown"]),
        (REVERSE, '{"args": {"text": "a"}, "options": {"countdown": 9e9}}', {}, 422,
         ["/options/countdown"]),
        (REVERSE, '{"args": {"text": "a"}, "options": {"queue": "nobody"}}', {}, 422,
         ["/options/queue"]),
        (REVERSE, '{"args": {', {}, 400, []),
        (REVERSE, '{"args": {"text": NaN}}', {}, 400, []),
        (REVERSE, "[" * 10_000, {}, 400, []),
        (REVERSE, "text=a", {"Content-Type": "application/x-www-form-urlencoded"}, 415, []),
        (REVERSE, json.dumps({"args": {"text": "a" * 20_000}}), {}, 413, []),
    ],
)  # fmt: skip
def test_bad_submission_is_a_problem_that_names_what_is_wrong(
    api: FlaskClient,
    path: str,
    body: str,
    headers: dict[str, str],
    status: int,
    pointers: list[str],
) -> None:
    answer = api.post(path, data=body, headers={"Content-Type": "application/json", **headers})

    problem = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert problem["status"] == status and problem["detail"] and problem["code"]
    found = [error["pointer"] for error in problem.get("errors", [])]
    assert all(any(f.startswith(pointer) for f in found) for pointer in pointers), found
    assert "Traceback" not in answer.text


def test_missing_body_and_method_are_problems_too(api: FlaskClient) -> None:
    assert api.post(REVERSE).status_code == 422
    assert api.delete(REVERSE).status_code == 405
    assert api.delete(REVERSE).headers["Allow"]
    assert api.get("/api/v1/nothing").mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/v1/runs/{}", "/api/v1/runs/{}/cancel"])
def test_unknown_run_is_a_404(api: FlaskClient, path: str) -> None:
    call = api.post if path.endswith("cancel") else api.get

    answer = call(path.format("01900000-0000-7000-8000-000000000000"))

    assert (answer.status_code, answer.get_json()["code"]) == (404, "run_not_found")


def test_run_of_a_foreign_celery_client_is_shown(api: FlaskClient, services: Services) -> None:
    from celery import Celery

    client = Celery("elsewhere", broker=services.broker_url, set_as_current=False)
    client.conf.task_default_queue = "celery_see"
    client.conf.task_queues = [Queue("celery_see", no_declare=True)]

    run_id = client.send_task("text.reverse", args=["xyz"]).id

    run = eventually(
        lambda: (run := api.get(f"/api/v1/runs/{run_id}").get_json())["state"] == "SUCCESS" and run,
        deadline_s=20,
    )
    assert (run["args"], run["result"]) == ({"text": "xyz"}, "zyx")
    client.close()
