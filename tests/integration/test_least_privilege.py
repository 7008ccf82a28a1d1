"""All that Celeriac does, by users with no more rights than docs/security.md gives them."""

import json
import re
import shlex
import string
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqp import Connection
from amqp.exceptions import AccessRefused, NotAllowed
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

import servers
from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening
from running_stack import RunningStack, running_stack
from servers import RabbitMQServer, RedisServer

PASSWORDS = {
    "BROKER_PASSWORD": "b-word-1",
    "FLOWER_PASSWORD": "f-word-1",
    "REDIS_PASSWORD": "r-word-1",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
WITHIN_S = 120


def _commands(program: str) -> Iterator[list[str]]:
    """Give the document's commands for a program, with passwords of ours."""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"    {program} "):
            typed = re.sub(r"\$(?![A-Z])", "$$", line.strip())
            yield shlex.split(string.Template(typed).substitute(PASSWORDS))[1:]


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    with servers.rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        for words in _commands("rabbitmqctl"):
            server.rabbitmqctl(*words)
        yield server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as server:
        with server.client() as client:
            for words in _commands("redis-cli"):
                client.execute_command(*words)
        yield server


@pytest.fixture(scope="module")
def stack(
    rabbitmq: RabbitMQServer, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """Run web, recorder, worker and Flower by these users."""
    broker_url = _amqp(rabbitmq, "celeriac", "BROKER_PASSWORD")
    environment = {
        "CELERIAC_BROKER_URL": broker_url,
        "CELERIAC_REDIS_URL": _redis(redis),
        "CELERIAC_TASKS": "celeriac.tasks,probe_tasks",
        "CELERIAC_PUBLISH_TIMEOUT_S": "20",
        "CELERIAC_STOP_GRACE_S": "2",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    with running_stack(tmp_path_factory.mktemp("stack"), environment=environment) as running:
        eventually(lambda: running.get("/workers")["workers"], deadline_s=WITHIN_S)
        yield running


def _amqp(rabbitmq: RabbitMQServer, user: str, password: str) -> str:
    return f"amqp://{user}:{PASSWORDS[password]}@{LOOPBACK}:{rabbitmq.port}/celeriac"


def _redis(redis: RedisServer) -> str:
    return f"redis://celeriac:{PASSWORDS['REDIS_PASSWORD']}@{LOOPBACK}:{redis.port}/0"


def test_runs_are_submitted_delayed_cancelled_and_batched(stack: RunningStack) -> None:
    plain = stack.submit("text.reverse", {"text": "abc"})
    later = stack.submit("text.reverse", {"text": "later"}, countdown=2)
    fast = stack.submit("text.reverse", {"text": "fast"}, priority=9)
    held = stack.submit("text.reverse", {"text": "held"}, countdown=3600)
    stack.post(f"/runs/{held}/cancel")
    lines = b"".join(b'{"task": "text.reverse", "args": {"text": "x"}}\n' for _ in range(20))
    assert _send(stack, "/runs/batch", lines, "application/x-ndjson").count(b'"id"') == 20

    ended = [_ended(stack, each)["state"] for each in (plain, later, fast, held)]

    assert ended == ["SUCCESS", "SUCCESS", "SUCCESS", "REVOKED"]


def test_dead_letters_are_read_and_replayed_and_queues_purged(
    stack: RunningStack, tmp_path: Path
) -> None:
    poison = stack.submit("probe.reject_at_first", {"path": str(tmp_path / "starts")})
    eventually(lambda: poison in str(stack.get("/dead-letters")), deadline_s=WITHIN_S)
    _send(stack, "/dead-letters/replay", {"all": True})
    eventually(lambda: stack.get(f"/runs/{poison}")["state"] == "SUCCESS", deadline_s=WITHIN_S)

    _send(stack, "/queues/celery_see/pause")
    stack.submit("text.reverse", {"text": "waits"})
    assert stack.post("/queues/celery_see/purge", {"confirm": "celery_see"})
    _send(stack, "/queues/celery_see/resume")

    after = stack.submit("text.reverse", {"text": "goes on"})
    assert _ended(stack, after)["state"] == "SUCCESS"
    assert stack.get("/queues")["queues"]


def test_nobody_is_refused_anything(stack: RunningStack) -> None:
    assert "ACCESS_REFUSED" not in stack.log
    assert "NOPERM" not in stack.log
    assert stack.get("/stats")


def test_flower_sees_the_workers(stack: RunningStack, rabbitmq: RabbitMQServer) -> None:
    port = free_port()
    flower = ChildProcess(
        [sys.executable, "-m", "celeriac", "flower", "--flower-port", str(port)],
        stack.folder / "flower.log",
        {
            **stack.process.env,
            "CELERIAC_BROKER_URL": _amqp(rabbitmq, "flower", "FLOWER_PASSWORD"),
            "CELERIAC_LOG_LEVEL": "DEBUG",
        },
        stack.folder,
    )
    flower.start()
    try:
        eventually(lambda: is_listening(port), deadline_s=WITHIN_S)

        def sees() -> bool:
            with urllib.request.urlopen(
                f"http://{LOOPBACK}:{port}/flower/workers?json=1"
            ) as answer:
                return b"worker1@" in answer.read()

        eventually(sees, deadline_s=WITHIN_S)
        log = flower.log_path.read_text()
        assert "ACCESS_REFUSED" not in log and "Inspect method" not in log, log
    finally:
        flower.kill()


def test_users_can_do_nothing_else(rabbitmq: RabbitMQServer, redis: RedisServer) -> None:
    with pytest.raises((AccessRefused, NotAllowed)):
        _connect(rabbitmq, "guest", "guest", "celeriac")
    with pytest.raises((AccessRefused, NotAllowed)):
        _connect(rabbitmq, "celeriac", PASSWORDS["BROKER_PASSWORD"], "/")
    with (
        pytest.raises(AccessRefused),
        Connection(
            f"{LOOPBACK}:{rabbitmq.port}",
            userid="flower",
            password=PASSWORDS["FLOWER_PASSWORD"],
            virtual_host="celeriac",
        ) as connection,
    ):
        connection.channel().basic_get("celery_see.dead")
    with Redis.from_url(_redis(redis)) as client, pytest.raises(NoPermissionError):
        client.config_get("*")
    with redis.client() as nobody, pytest.raises(AuthenticationError):
        nobody.ping()


def _send(
    stack: RunningStack, path: str, body: object = None, kind: str = "application/json"
) -> bytes:
    """Post, and give the whole answer, which may be many lines."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
    headers = {"Content-Type": kind} if data else {}
    url = f"{stack.url}/api/v1{path}"
    request = urllib.request.Request(url, data, headers, method="POST")
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        return bytes(answer.read())


def _connect(rabbitmq: RabbitMQServer, user: str, password: str, vhost: str) -> None:
    Connection(
        f"{LOOPBACK}:{rabbitmq.port}", userid=user, password=password, virtual_host=vhost
    ).connect()


def _ended(stack: RunningStack, run_id: str) -> dict[str, object]:
    return eventually(
        lambda: (run := stack.get(f"/runs/{run_id}"))["finished_at"] and run, deadline_s=WITHIN_S
    )
