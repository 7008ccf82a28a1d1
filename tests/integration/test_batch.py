"""Batches: many submissions in one request, answered line by line, whatever is wrong with some."""

import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psutil
import pytest
from celery import Celery
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from celeriac.events import RECORD_PREFIX, STREAM
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from eventually import eventually
from processes import LOOPBACK, free_port
from servers import RabbitMQServer, RedisServer
from servers import rabbitmq_server as own_rabbitmq
from servers import redis_server as own_redis
from services import Services
from web_process import running_web
from worker_process import celeriac_environment, running_worker

BATCH = "/api/v1/runs/batch"
NDJSON = "application/x-ndjson"
LIMIT_BYTES = 2_000
QUIET_S = 5
"""When nothing came of a queue for so long, it is empty."""


def _settings(services: Services, **given: Any) -> Settings:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    return load_settings(join_stack=False, max_body_bytes=LIMIT_BYTES, **(urls | given))


def _client(settings: Settings) -> FlaskClient:
    return create_app(settings, Runs.of(settings)).test_client()


@pytest.fixture(scope="module")
def api(services: Services) -> FlaskClient:
    return _client(_settings(services))


@pytest.fixture
def redis(services: Services) -> Iterator["Redis[str]"]:
    with Redis.from_url(services.redis_url, decode_responses=True) as client:
        yield client


def _line(text: str = "ab", **more: Any) -> bytes:
    return json.dumps({"task": "text.reverse", "args": {"text": text}} | more).encode() + b"\n"


def _send(api: FlaskClient, body: bytes) -> TestResponse:
    return api.post(BATCH, data=body, content_type=NDJSON)


def _answers(response: TestResponse) -> list[dict[str, Any]]:
    assert (response.status_code, response.mimetype) == (200, NDJSON), response.text
    return [json.loads(line) for line in response.text.splitlines()]


# --- Lines, good and bad -------------------------------------------------------------------------


def test_each_line_becomes_a_run_that_is_executed(
    api: FlaskClient, services: Services, tmp_path: Path
) -> None:
    options = {"priority": 3, "tags": ["batch"]}
    body = b"".join(_line(f"text {n}", options=options) for n in range(450))

    answers = _answers(_send(api, body))

    assert [answer["line"] for answer in answers] == list(range(1, 451))
    runs = Runs.of(_settings(services))
    with running_worker(tmp_path, *services):
        last = runs.wait(answers[-1]["id"], 60)
        first = runs.wait(answers[0]["id"], 60)
    assert (first.result, last.result) == ("0 txet", "944 txet")
    assert (last.priority, last.tags, last.queue) == (3, ["batch"], "celery_see")
    assert len({answer["id"] for answer in answers}) == 450


BAD_LINES: list[tuple[bytes, int, str, list[str]]] = [
    (b"{", 400, "invalid_line", []),
    (b"\xff\xfe{}", 400, "invalid_line", []),
    (b'{"task": NaN}', 400, "invalid_line", []),
    (b"[" * 1_900, 400, "invalid_line", []),
    (b"[]", 422, "invalid_input", [""]),
    (b"5", 422, "invalid_input", [""]),
    (b"{}", 422, "invalid_input", ["/task"]),
    (b'{"task": "no.such"}', 404, "unknown_task", []),
    (b'{"task": "text.reverse"}', 422, "invalid_input", ["/args/text"]),
    (b'{"task": "text.reverse", "args": {"text": 5}}', 422, "invalid_input", ["/args/text"]),
    (b'{"task": "text.reverse", "args": []}', 422, "invalid_input", ["/args"]),
    (b'{"task": "text.reverse", "argz": {}}', 422, "invalid_input", ["/argz"]),
    (_line(options={"queue": "nobody"}), 422, "invalid_input", ["/options/queue"]),
    (_line(options={"tags": ["a", ""]}), 422, "invalid_input", ["/options/tags/1"]),
    (_line(options={"countdown": 9e9}), 422, "invalid_input", ["/options/countdown"]),
    (_line(idempotency_key=""), 400, "invalid_idempotency_key", []),
    (_line("a" * LIMIT_BYTES), 413, "line_too_long", []),
    (b'{"task": "text.reverse", "args": {"text": "\\ud800"}}', 422, "invalid_input", [""]),
]


@pytest.mark.parametrize(("line", "status", "code", "pointers"), BAD_LINES)
def test_bad_line_is_answered_in_its_place(
    api: FlaskClient, line: bytes, status: int, code: str, pointers: list[str]
) -> None:
    first, bad, last = _answers(_send(api, _line() + line.rstrip() + b"\n" + _line()))

    assert "id" in first and "id" in last
    problem = bad["problem"]
    assert (bad["line"], problem["status"], problem["code"]) == (2, status, code)
    assert problem["title"] and problem["detail"] and problem["type"] == "about:blank"
    found = [error["pointer"] for error in problem.get("errors", [])]
    assert len(found) == len(pointers), found
    assert all(f.startswith(p) for f, p in zip(found, pointers, strict=True)), found


def test_all_bad_lines_together_do_not_harm_each_other(api: FlaskClient) -> None:
    body = b"".join(line.rstrip() + b"\n" + _line() for line, *_ in BAD_LINES)

    answers = _answers(_send(api, body))

    assert [a["line"] for a in answers] == list(range(1, 2 * len(BAD_LINES) + 1))
    assert [a["problem"]["status"] for a in answers[::2]] == [status for _, status, *_ in BAD_LINES]
    assert all("id" in answer for answer in answers[1::2])


def test_blank_lines_are_counted_and_not_answered(api: FlaskClient) -> None:
    body = b"\n" + _line() + b"  \r\n\n" + _line().replace(b"\n", b"\r\n") + _line().rstrip()

    assert [answer["line"] for answer in _answers(_send(api, body))] == [2, 5, 6]


def test_byte_order_mark_and_line_of_the_full_length_are_taken(api: FlaskClient) -> None:
    padding = LIMIT_BYTES - len(_line("").rstrip())

    answers = _answers(_send(api, b"\xef\xbb\xbf" + _line() + _line("a" * padding)))

    assert ["id" in answer for answer in answers] == [True, True], answers


def test_batch_of_nothing_is_answered_with_nothing(api: FlaskClient) -> None:
    response = _send(api, b"")

    assert (response.status_code, response.mimetype, response.data) == (200, NDJSON, b"")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_other_type_is_refused(api: FlaskClient, content_type: str) -> None:
    answer = api.post(BATCH, data=_line(), content_type=content_type)

    assert answer.status_code == 415
    assert NDJSON in answer.get_json()["detail"]


def test_key_of_a_line_makes_one_run_of_several_lines_and_requests(
    api: FlaskClient, redis: "Redis[str]"
) -> None:
    key = str(uuid4())
    body = _line(idempotency_key=key) + _line() + _line(idempotency_key=key)

    first, _, third = _answers(_send(api, body))
    [again] = _answers(_send(api, _line(idempotency_key=key)))
    [other] = _answers(_send(api, _line("other", idempotency_key=key)))
    alone = api.post(
        "/api/v1/tasks/text.reverse/runs",
        json={"args": {"text": "ab"}},
        headers={"Idempotency-Key": f'"{key}"'},
    )

    assert first["id"] == third["id"] == again["id"] == alone.get_json()["id"]
    assert other["problem"]["code"] == "idempotency_key_reused"
    told = [f for _, f in redis.xrange(STREAM) if f["run"] == first["id"]]
    assert [fields["kind"] for fields in told] == ["submitted"]


# --- Servers away --------------------------------------------------------------------------------


def test_batch_without_a_broker_refuses_each_line_soon(
    services: Services, redis: "Redis[str]"
) -> None:
    before = set(redis.keys(f"{RECORD_PREFIX}*"))
    with socket.create_server((LOOPBACK, free_port())) as silent:
        port = silent.getsockname()[1]
        client = _client(_settings(services, broker_url=f"amqp://{LOOPBACK}:{port}"))
        started_s = time.monotonic()
        answers = _answers(_send(client, _line() * 1_000 + b"{\n" + _line() * 9_000))

    assert time.monotonic() - started_s < 60
    problems = [answer["problem"] for answer in answers]
    assert [p["status"] for p in problems] == [503] * 1_000 + [400] + [503] * 9_000
    assert {p["code"] for p in problems} == {"broker_unavailable", "invalid_line"}
    assert set(redis.keys(f"{RECORD_PREFIX}*")) == before


def test_batch_without_a_result_backend_refuses_each_line_soon(services: Services) -> None:
    client = _client(_settings(services, redis_url=f"redis://{LOOPBACK}:{free_port()}"))

    answers = _answers(_send(client, _line() * 1_000 + _line(idempotency_key="k")))

    assert {answer["problem"]["code"] for answer in answers} == {"results_unavailable"}


class _StoppableServer(Protocol):
    def kill(self) -> None: ...

    def start(self) -> None: ...


class _FileThat(io.BytesIO):
    """A file that does something when it has been read up to a line."""

    def __init__(self, content: bytes, line: int, act: Callable[[], None]) -> None:
        super().__init__(content)
        self._left = line
        self._act = act

    def readline(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left == 0:
            self._act()
        return super().readline(size)


def _batch_with_the_broker_killed(
    broker: _StoppableServer, broker_url: str, redis_url: str
) -> tuple[set[str], set[str], set[str]]:
    """Give the runs that were accepted, those unconfirmed, and those whose messages are there."""
    runs = Runs.of(_settings(Services(broker_url, redis_url)))
    started_s = time.monotonic()
    file = _FileThat(_line() * 5_000, 1_000, broker.kill)
    answers = list(runs.batch(file, LIMIT_BYTES))
    took_s = time.monotonic() - started_s
    broker.start()

    accepted = {answer.run_id for answer in answers if answer.run_id}
    codes = [answer.error.code for answer in answers if answer.error]
    unsure = {getattr(answer.error, "run_id", "") for answer in answers} - {""}
    assert (len(answers), len(accepted) >= 800, took_s < 60) == (5_000, True, True)
    assert set(codes[-3_000:]) == {"broker_unavailable"}
    return accepted, unsure, _messages(broker_url)


def _messages(broker_url: str) -> set[str]:
    """Take what stands in the queue; right after its restart a broker may need another try."""
    app = Celery("reader", broker=broker_url, set_as_current=False)
    app.conf.task_default_queue, app.conf.task_queue_max_priority = "celery_see", 9
    app.conf.broker_transport_options = {
        "queue_order_strategy": "priority", "priority_steps": list(range(10)),
    }  # fmt: skip
    found: set[str] = set()
    eventually(lambda: _is_emptied(app, found), deadline_s=60)
    app.close()
    return found


def _is_emptied(app: Celery, found: set[str]) -> bool:
    queue = app.amqp.queues["celery_see"]
    with (
        app.connection_for_read() as connection,
        connection.Consumer(
            [queue],
            on_message=lambda message: found.add(message.headers["id"]),
            no_ack=True,
            auto_declare=False,
        ),
        suppress(TimeoutError),
    ):
        while True:
            connection.drain_events(timeout=QUIET_S)
    return bool(found)


def test_redis_broker_killed_in_the_middle(tmp_path: Path, redis_server: RedisServer) -> None:
    with own_redis(tmp_path) as broker:
        broker.process.command = [
            "always" if word == "everysec" else word for word in broker.process.command
        ]
        broker.stop()
        broker.start()
        accepted, unsure, messages = _batch_with_the_broker_killed(
            broker, broker.url, redis_server.url
        )

    assert accepted <= messages <= accepted | unsure


def _outlive_the_youth_of_its_queue(broker: RabbitMQServer, redis_url: str) -> None:
    """Have the queue noted on disk: for half a second RabbitMQ knows a new one by heart alone.

    One that is younger when RabbitMQ is killed comes back empty and without a leader.
    """
    runs = Runs.of(_settings(Services(broker.url, redis_url)))
    run_id = runs.submit("text.reverse", {"text": "ab"}, SubmitOptions()).id
    broker.stop()
    broker.start()
    assert _messages(broker.url) == {run_id}


def test_rabbitmq_killed_in_the_middle(tmp_path: Path, redis_server: RedisServer) -> None:
    with own_rabbitmq(tmp_path) as broker:
        assert isinstance(broker, RabbitMQServer)
        _outlive_the_youth_of_its_queue(broker, redis_server.url)
        accepted, unsure, messages = _batch_with_the_broker_killed(
            broker, broker.url, redis_server.url
        )

    assert accepted <= messages <= accepted | unsure


# --- Large batches -------------------------------------------------------------------------------

LINES = 50_000
GROWTH_BYTES = 64 * 1024 * 1024


def test_large_batch_of_a_client_that_reads_nothing_before_it_has_sent_all(
    services: Services, tmp_path: Path
) -> None:
    good = _line("x" * 100)
    body = b"".join(good if n % 10 == 0 else b'{"task": "no.such"}\n' for n in range(LINES))
    with running_web(tmp_path, *services) as web:
        _post(web.port, good * 1_000)
        process = psutil.Process(web.process.pid)
        before = process.memory_info().rss

        answers = [json.loads(line) for line in _post(web.port, body).splitlines()]

        grown = process.memory_info().rss - before
    assert [answer["line"] for answer in answers] == list(range(1, LINES + 1))
    assert ["id" in answer for answer in answers] == [n % 10 == 0 for n in range(LINES)]
    assert grown < GROWTH_BYTES, f"{grown / 1e6:.0f} MB"


def _post(port: int, body: bytes) -> bytes:
    """Send a whole request as plain as can be, and only then read."""
    head = (
        f"POST {BATCH} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nContent-Type: {NDJSON}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((LOOPBACK, port), timeout=100) as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as answer:
            received = answer.read()
    headers, _, content = received.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 200"), headers
    return content


def test_batch_in_chunks_from_a_client_that_goes_away_submits_what_was_read(
    services: Services, redis: "Redis[str]", tmp_path: Path
) -> None:
    text = str(uuid4())
    lines = _line(text) * 2_000
    with running_web(tmp_path, *services) as web:
        head = (
            f"POST {BATCH} HTTP/1.1\r\nHost: {LOOPBACK}:{web.port}\r\n"
            f"Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with socket.create_connection((LOOPBACK, web.port), timeout=60) as connection:
            connection.sendall(head.encode())
            connection.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
            eventually(lambda: _count(redis, text) > 1_000, deadline_s=60)
        _post(web.port, _line())  # It still serves.

    assert _count(redis, text) <= 2_000


def _count(redis: "Redis[str]", text: str) -> int:
    return sum(text in fields["data"] for _, fields in redis.xrange(STREAM))


# --- The command ---------------------------------------------------------------------------------


def test_command_answers_each_line_and_tells_by_its_exit_code(
    services: Services, tmp_path: Path
) -> None:
    (tmp_path / "good.ndjson").write_bytes(_line() * 3)

    good, bad = (
        subprocess.run(
            [sys.executable, "-m", "celeriac", "batch", file],
            input=(_line() + b"{\n").decode(), cwd=tmp_path, text=True, capture_output=True,
            env=celeriac_environment(tmp_path, *services), timeout=60, check=False,
        )
        for file in ("good.ndjson", "-")
    )  # fmt: skip

    assert good.returncode == 0, good.stderr
    assert [json.loads(line)["line"] for line in good.stdout.splitlines()] == [1, 2, 3]
    assert "3 submitted, 0 refused" in good.stderr
    assert bad.returncode == 1
    assert [list(json.loads(line)) for line in bad.stdout.splitlines()] == [
        ["line", "id"],
        ["line", "problem"],
    ]


def test_command_says_that_a_file_is_missing(services: Services, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "batch", "none.ndjson"],
        cwd=tmp_path, text=True, capture_output=True,
        env=celeriac_environment(tmp_path, *services), timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "none.ndjson cannot be read" in done.stderr and "Traceback" not in done.stderr
