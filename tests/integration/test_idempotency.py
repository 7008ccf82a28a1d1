"""One run for one idempotency key: sent again, sent at once, and with processes killed between."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError
from redis import Redis
from werkzeug.test import TestResponse

from celeriac.events import STREAM
from celeriac.runs import Runs
from celeriac.runs.broker import Broker
from celeriac.runs.idempotency import KEY_PREFIX
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from eventually import eventually
from processes import LOOPBACK, free_port
from services import Services
from web_process import WebProcess, running_web
from worker_process import celeriac_environment, running_worker

REVERSE = "/api/v1/tasks/text.reverse/runs"
BODY = {"args": {"text": "ab"}, "options": {"tags": ["a"], "countdown": 0.5}}


def _settings(services: Services, **given: Any) -> Settings:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    return load_settings(join_stack=False, **(urls | given))


@pytest.fixture(scope="module")
def runs(services: Services) -> Runs:
    return Runs.of(_settings(services))


@pytest.fixture(scope="module")
def api(services: Services, runs: Runs) -> FlaskClient:
    return create_app(_settings(services), runs).test_client()


@pytest.fixture
def redis(services: Services) -> Iterator["Redis[str]"]:
    with Redis.from_url(services.redis_url, decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def key() -> str:
    return f'"{uuid4()}"'


def _send(api: FlaskClient, key: str, body: Any = BODY, path: str = REVERSE) -> TestResponse:
    return api.post(path, json=body, headers={"Idempotency-Key": key})


def _submitted(redis: "Redis[str]") -> Counter[str]:
    """Count the events `submitted` of each run."""
    entries = redis.xrange(STREAM)
    return Counter(fields["run"] for _, fields in entries if fields["kind"] == "submitted")


def _let_the_lease_end(redis: "Redis[str]") -> None:
    """Do what thirty seconds do."""
    for key in redis.scan_iter(f"{KEY_PREFIX}*"):
        redis.hset(key, "leased_until", "0")


# --- Sent again ----------------------------------------------------------------------------------


def test_second_request_gets_the_first_answer(
    api: FlaskClient, redis: "Redis[str]", key: str
) -> None:
    first = _send(api, key)
    # The order of names is none of a JSON object's.
    again = _send(api, key, dict(reversed(BODY.items())))

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert _submitted(redis) == {first.get_json()["id"]: 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (REVERSE, {"args": {"text": "other"}}),
        (REVERSE, {**BODY, "options": {}}),
        ("/api/v1/tasks/text.sentiment/runs", BODY),
    ],
)
def test_other_request_with_the_key_is_refused(
    api: FlaskClient, redis: "Redis[str]", key: str, path: str, body: Any
) -> None:
    first = _send(api, key)

    answer = _send(api, key, body, path)

    assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_key_reused")
    assert _submitted(redis) == {first.get_json()["id"]: 1}


def test_key_is_remembered_for_its_time(api: FlaskClient, redis: "Redis[str]", key: str) -> None:
    _send(api, key)

    [name] = redis.scan_iter(f"{KEY_PREFIX}*")
    assert 86_000 < redis.ttl(name) <= 86_400
    assert key.strip('"') not in name


def test_secret_is_not_kept_with_a_key(services: Services, redis: "Redis[str]", key: str) -> None:
    settings = _settings(services, redact="text")
    client = create_app(settings, Runs.of(settings)).test_client()
    body = {"args": {"text": "hunter2"}}

    first, again = _send(client, key, body), _send(client, key, body)

    [name] = redis.scan_iter(f"{KEY_PREFIX}*")
    assert "hunter2" not in str(redis.hgetall(name))
    assert again.get_json() == first.get_json()


@pytest.mark.parametrize(
    ("first", "second"),
    [('"simple-key"', "simple-key"), (r'"with \"quotes\" and \\"', r'"with \"quotes\" and \\"'),
     ('"k"', '"k";param=1'), ('"k"', '  "k"  ')],
)  # fmt: skip
def test_same_key_in_other_words(
    api: FlaskClient, redis: "Redis[str]", first: str, second: str
) -> None:
    assert _send(api, first).get_json()["id"] == _send(api, second).get_json()["id"]


@pytest.mark.parametrize(
    "header", ["", '""', '"unclosed', "two words", '"a", "b"', '"a" "b"', '"tab\t"', "é", '"é"',
               '"' + "a" * 256 + '"', r'"bad \escape"'],
)  # fmt: skip
def test_malformed_key_says_what_to_do(api: FlaskClient, redis: "Redis[str]", header: str) -> None:
    answer = _send(api, header)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_idempotency_key")
    assert "printable characters" in answer.text or "in double quotes" in answer.text
    assert not _submitted(redis)


def test_request_that_is_refused_does_not_use_the_key_up(
    api: FlaskClient, redis: "Redis[str]", key: str
) -> None:
    assert _send(api, key, {"args": {"text": 5}}).status_code == 422
    assert not list(redis.scan_iter(f"{KEY_PREFIX}*"))

    assert _send(api, key).status_code == 202


def test_resubmission_takes_a_key(api: FlaskClient, redis: "Redis[str]", key: str) -> None:
    earlier = api.post(REVERSE, json=BODY).get_json()["id"]
    path = f"/api/v1/runs/{earlier}/resubmit"

    first, again = (
        api.post(path, headers={"Idempotency-Key": key}),
        api.post(path, headers={"Idempotency-Key": key}),
    )

    assert again.get_json() == first.get_json()
    assert first.get_json()["resubmit_of"] == earlier
    assert _send(api, key).status_code == 422
    assert len(_submitted(redis)) == 2


def test_command_takes_a_key(services: Services, redis: "Redis[str]", tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celeriac", "submit", "text.reverse", "--text", "ab"]

    first, again = (
        subprocess.run(
            [*command, "--idempotency-key", "from the command line"],
            env=celeriac_environment(tmp_path, *services), cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=True,
        )
        for _ in range(2)
    )  # fmt: skip

    assert first.stdout == again.stdout
    assert (first.stderr, "This key was used before" in again.stderr) == ("", True)
    assert _submitted(redis) == {first.stdout.strip(): 1}


# --- Servers away --------------------------------------------------------------------------------


def test_key_is_free_again_when_nothing_was_submitted(
    services: Services, api: FlaskClient, redis: "Redis[str]", key: str
) -> None:
    settings = _settings(services, broker_url=f"amqp://{LOOPBACK}:{free_port()}")
    without_broker = create_app(settings, Runs.of(settings)).test_client()

    assert _send(without_broker, key).get_json()["code"] == "broker_unavailable"
    assert not list(redis.scan_iter(f"{KEY_PREFIX}*"))
    assert _send(api, key, {"args": {"text": "another"}}).status_code == 202


def test_unconfirmed_run_keeps_its_identifier(
    api: FlaskClient, redis: "Redis[str]", key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_confirm(*_: object) -> None:
        raise OperationalError("no confirm")

    with monkeypatch.context() as patched:
        patched.setattr(Broker, "_publish", lose_the_confirm)
        lost = _send(api, key)
    assert (lost.status_code, lost.get_json()["code"]) == (503, "unconfirmed")

    answer = _send(api, key)

    assert answer.status_code == 202
    assert answer.get_json()["id"] == lost.get_json()["run_id"]
    assert _submitted(redis) == {answer.get_json()["id"]: 1}


def test_run_that_was_perhaps_published_keeps_its_identifier_through_a_refusal(
    services: Services,
    api: FlaskClient,
    redis: "Redis[str]",
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_the_confirm(*_: object) -> None:
        raise OperationalError("no confirm")

    with monkeypatch.context() as patched:
        patched.setattr(Broker, "_publish", lose_the_confirm)
        lost = _send(api, key)
    settings = _settings(services, broker_url=f"amqp://{LOOPBACK}:{free_port()}")
    without_broker = create_app(settings, Runs.of(settings)).test_client()

    assert _send(without_broker, key).get_json()["code"] == "broker_unavailable"

    assert _send(api, key).get_json()["id"] in lost.get_json()["detail"]


# --- Several processes ---------------------------------------------------------------------------

PAUSED_WEB = '''
"""Makes this web process stand still at a chosen place of a submission, for good."""
import os, time
from pathlib import Path
from celeriac.runs.broker import Broker
from celeriac.runs.store import RunStore

def pause(*_, **__):
    Path("paused").touch()
    time.sleep(600)

place = {"publish": (Broker, "publish"), "tell": (RunStore, "tell_submitted")}
setattr(*place[os.environ["PAUSE_AT"]], pause)
'''


def test_requests_at_once_on_two_webs_make_one_run(
    services: Services, redis: "Redis[str]", key: str, tmp_path: Path
) -> None:
    with (
        running_web(tmp_path, *services) as one,
        running_web(tmp_path, *services) as two,
        ThreadPoolExecutor(16) as threads,
    ):
        sent = [
            threads.submit(web.post, REVERSE, BODY, Idempotency_Key=key)
            for web in (one, two)
            for _ in range(20)
        ]
        answers = [each.result() for each in sent]
        last = two.post(REVERSE, BODY, Idempotency_Key=key)

    assert {answer.status for answer in answers} <= {202, 409}
    accepted = {answer.json["id"] for answer in [*answers, last] if answer.status == 202}
    assert _submitted(redis) == dict.fromkeys(accepted, 1) and len(accepted) == 1
    assert all(answer.headers["Retry-After"] for answer in answers)
    first_ones = [a for a in answers if a.status == 202 and not a.headers["Idempotent-Replayed"]]
    assert len(first_ones) == 1


def _body(key: str) -> dict[str, Any]:
    """Make a request by which its run can be told from those of other tests in the queue."""
    return {"args": {"text": key}}


def _executed(redis: "Redis[str]", text: str) -> list[str]:
    """Give the run of each execution of such a request."""
    started = [fields for _, fields in redis.xrange(STREAM) if fields["kind"] == "started"]
    return [f["run"] for f in started if json.loads(f["data"])["args"] == {"text": text}]


@contextmanager
def _paused_web(folder: Path, services: Services, place: str) -> Iterator[WebProcess]:
    (folder / "paused_web.py").write_text(PAUSED_WEB)
    paused = {"CELERIAC_TASKS": "celeriac.tasks,paused_web", "PAUSE_AT": place}
    with running_web(folder, *services, paused) as web:
        yield web


@pytest.mark.parametrize("place", ["publish", "tell"])
def test_web_killed_in_the_middle_makes_no_second_run(
    services: Services, redis: "Redis[str]", key: str, tmp_path: Path, place: str
) -> None:
    with running_web(tmp_path, *services) as web, ThreadPoolExecutor() as threads:
        with _paused_web(tmp_path, services, place) as dying:
            cut_off = threads.submit(dying.post, REVERSE, _body(key), Idempotency_Key=key)
            eventually((tmp_path / "paused").exists, deadline_s=20)
            in_progress = web.post(REVERSE, _body(key), Idempotency_Key=key)
            dying.process.kill()
            assert isinstance(cut_off.exception(), OSError)
        [name] = redis.scan_iter(f"{KEY_PREFIX}*")
        chosen = redis.hget(name, "run")
        _let_the_lease_end(redis)

        answer = web.post(REVERSE, _body(key), Idempotency_Key=key)
        again = web.post(REVERSE, _body(key), Idempotency_Key=key)

        assert (in_progress.status, int(in_progress.headers["Retry-After"]) > 0) == (409, True)
        assert in_progress.json["code"] == "idempotency_key_in_progress"
        assert (answer.status, answer.json["id"]) == (202, chosen)
        assert (again.json, again.headers["Idempotent-Replayed"]) == (answer.json, "true")
        _assert_no_other_run_is_executed(web, services, redis, key, str(chosen), tmp_path)


def _assert_no_other_run_is_executed(
    web: WebProcess, services: Services, redis: "Redis[str]", text: str, run_id: str, folder: Path
) -> None:
    with running_worker(folder, *services):
        web.post(REVERSE, _body("the last one"))  # Comes behind in the queue.
        eventually(lambda: _executed(redis, "the last one"), deadline_s=30)
        eventually(lambda: _executed(redis, text), deadline_s=30)
    assert set(_executed(redis, text)) == {run_id}


def test_run_that_was_executed_meanwhile_is_not_published_again(
    services: Services, redis: "Redis[str]", key: str, tmp_path: Path
) -> None:
    with (
        running_web(tmp_path, *services) as web,
        running_worker(tmp_path, *services),
        ThreadPoolExecutor() as threads,
    ):
        with _paused_web(tmp_path, services, "tell") as dying:
            cut_off = threads.submit(dying.post, REVERSE, _body(key), Idempotency_Key=key)
            [run_id] = eventually(lambda: _executed(redis, key), deadline_s=30)
            eventually(lambda: _state(redis, run_id) == "SUCCESS", deadline_s=30)
            dying.process.kill()
            assert isinstance(cut_off.exception(), OSError)
        _let_the_lease_end(redis)

        answer = web.post(REVERSE, _body(key), Idempotency_Key=key)

    assert (answer.status, answer.json["id"], answer.json["result"]) == (200, run_id, key[::-1])
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert _executed(redis, key) == [run_id]


def _state(redis: "Redis[str]", run_id: str) -> str:
    meta = redis.get(f"celery-task-meta-{run_id}")
    return str(json.loads(meta)["status"]) if meta else ""
