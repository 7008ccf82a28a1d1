"""A new run with an earlier run's input, whoever submitted that, wherever its record still is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from flask.testing import FlaskClient
from kombu import Queue
from redis import Redis

from celeriac.events import RECORD_PREFIX, Event, EventKind
from celeriac.history import History
from celeriac.runs import Run, Runs, SubmitOptions
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from eventually import eventually
from history_events import Stream
from services import Services
from worker_process import celeriac_environment, running_worker

REVERSE = "/api/v1/tasks/text.reverse/runs"
RESUBMIT = "/api/v1/runs/{}/resubmit"


@pytest.fixture(scope="module")
def settings(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        history_url=f"sqlite:///{folder}/history.db",
        queues="slow",
    )


@pytest.fixture(scope="module")
def history(settings: Settings) -> Iterator[History]:
    history = History(settings.history_address)
    history.migrate()
    yield history
    history.close()


@pytest.fixture(scope="module")
def runs(settings: Settings, history: History) -> Runs:
    return Runs.of(settings)


@pytest.fixture(scope="module")
def api(settings: Settings, runs: Runs) -> FlaskClient:
    return create_app(settings, runs).test_client()


@pytest.fixture(scope="module", autouse=True)
def _worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_worker(tmp_path_factory.mktemp("worker"), *services):
        yield


def _submitted(api: FlaskClient, **options: Any) -> str:
    body = {"args": {"text": "ab"}, "options": options}
    return str(api.post(REVERSE, json=body).get_json()["id"])


def _resubmitted(api: FlaskClient, runs: Runs, earlier: str, **body: Any) -> Run:
    """Resubmit a run and give the new one when it has ended."""
    answer = api.post(RESUBMIT.format(earlier), json=body)
    assert answer.status_code == 202, answer.text
    return runs.wait(answer.get_json()["id"], 20)


def _only_in_history(history: History, task: str | None, args: Any) -> str:
    """Record a run that Redis knows nothing of."""
    stream = Stream()
    run_id = stream.run(0, "PENDING", task=task, args=args, queue="celery_see", tags=["old"])
    history.apply(stream.events)
    return run_id


def test_resubmitted_run_has_the_same_input_and_tells_where_it_comes_from(
    api: FlaskClient, runs: Runs
) -> None:
    earlier = _submitted(api, priority=3, tags=["a", "b"], countdown=30)

    answer = api.post(RESUBMIT.format(earlier))

    run = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{run['id']}"
    assert run["id"] != earlier
    assert (run["resubmit_of"], run["priority"], run["tags"]) == (earlier, 3, ["a", "b"])
    assert run["eta"] is None
    assert runs.wait(run["id"], 20).result == "ba"


def test_resubmission_takes_other_input_and_options(api: FlaskClient, runs: Runs) -> None:
    earlier = _submitted(api, queue="slow", priority=3, tags=["a"])
    options = {"queue": None, "tags": ["b"]}

    run = _resubmitted(api, runs, earlier, args={"text": "xy"}, options=options)

    assert (run.result, run.queue, run.priority) == ("yx", "celery_see", 3)
    assert (run.tags, run.resubmit_of) == (["b"], earlier)


def test_run_that_only_the_history_has_is_resubmitted(
    api: FlaskClient, runs: Runs, history: History
) -> None:
    earlier = _only_in_history(history, "text.reverse", {"text": "old"})

    run = _resubmitted(api, runs, earlier)

    assert (run.result, run.tags, run.resubmit_of) == ("dlo", ["old"], earlier)


def test_argument_that_has_no_name_in_the_record_gets_its_name(
    api: FlaskClient, runs: Runs, history: History
) -> None:
    earlier = _only_in_history(history, "text.reverse", {"*": ["xyz"]})

    run = _resubmitted(api, runs, earlier)

    assert (run.args, run.result) == ({"text": "xyz"}, "zyx")


@pytest.mark.parametrize(
    ("args", "pointers"),
    [
        ({"text": {"$redacted": True}}, ["/args/text"]),
        ({"text": {"$cut": {"size_bytes": 9, "begins": '"a'}}}, ["/args/text"]),
        ({"text": "a", "more": [1, {"x": {"$redacted": True}}]}, ["/args/more/1/x"]),
        ({"$cut": {"size_bytes": 9, "begins": "{"}}, ["/args"]),
        ({"text": "a", "*": ["b"]}, ["/args/*"]),
        (None, ["/args"]),
    ],
)
def test_input_that_is_not_known_in_whole_is_refused_and_named(
    api: FlaskClient, history: History, args: Any, pointers: list[str]
) -> None:
    earlier = _only_in_history(history, "text.reverse", args)

    answer = api.post(RESUBMIT.format(earlier))
    edited = api.post(RESUBMIT.format(earlier), json={"args": {"text": "new"}})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == pointers
    assert edited.status_code == 202, edited.text


@pytest.mark.parametrize(
    ("task", "status", "code"),
    [("no.such", 404, "unknown_task"), (None, 422, "invalid_input")],
)
def test_run_without_a_task_is_refused(
    api: FlaskClient, history: History, task: str | None, status: int, code: str
) -> None:
    earlier = _only_in_history(history, task, {"text": "a"})

    answer = api.post(RESUBMIT.format(earlier))

    assert (answer.status_code, answer.get_json()["code"]) == (status, code)


def test_unknown_run_is_a_404(api: FlaskClient) -> None:
    answer = api.post(RESUBMIT.format("01900000-0000-7000-8000-000000000000"))

    assert (answer.status_code, answer.get_json()["code"]) == (404, "run_not_found")


def test_tags_of_a_foreign_client_are_known_from_the_workers_events(
    api: FlaskClient, runs: Runs, services: Services
) -> None:
    client = Celery("elsewhere", broker=services.broker_url, set_as_current=False)
    client.conf.task_default_queue = "celery_see"
    client.conf.task_queues = [Queue("celery_see", no_declare=True)]
    headers = {"celeriac_tags": ["from-afar", 5], "celeriac_resubmit_of": "other"}

    sent = client.send_task("text.reverse", args=["xyz"], headers=headers).id

    run = eventually(
        lambda: (run := api.get(f"/api/v1/runs/{sent}").get_json())["state"] == "SUCCESS" and run,
        deadline_s=20,
    )
    assert (run["tags"], run["resubmit_of"]) == (["from-afar"], "other")
    again = _resubmitted(api, runs, sent)
    assert (again.result, again.tags, again.resubmit_of) == ("zyx", ["from-afar"], sent)
    client.close()


def test_tags_reach_the_history_when_the_event_of_the_submission_is_lost(
    runs: Runs, history: History, services: Services
) -> None:
    run = runs.submit("text.reverse", {"text": "ab"}, SubmitOptions.of({"tags": ["lost"]}))
    runs.wait(run.id, 20)
    with Redis.from_url(services.redis_url, decode_responses=True) as redis:
        entries = [
            Event.of_entry(entry_id, fields)
            for entry_id, fields in redis.xrange("celeriac-events")
            if fields["run"] == run.id and fields["kind"] != EventKind.SUBMITTED
        ]
        redis.delete(RECORD_PREFIX + run.id)

    history.apply(entries)

    found = history.get(run.id)
    assert found is not None and found.tags == ("lost",)


def test_command_resubmits_with_one_argument_changed(
    services: Services, tmp_path: Path, api: FlaskClient
) -> None:
    earlier = _submitted(api, tags=["a"])
    environment = celeriac_environment(tmp_path, *services)
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "run", "resubmit", earlier,
         "--text", "other", "--tag", "b", "--wait", "--json"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["result"], run["tags"], run["resubmit_of"]) == ("rehto", ["b"], earlier)
