"""Broker or result backend away: a 503 within three seconds, and no half-made run."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from processes import LOOPBACK, free_port
from servers import RabbitMQServer, RedisServer, redis_server

REVERSE = "/api/v1/tasks/text.reverse/runs"
BODY = {"args": {"text": "ab"}}


def _client(broker_url: str, redis_url: str) -> FlaskClient:
    settings = load_settings(join_stack=False, broker_url=broker_url, redis_url=redis_url)
    return create_app(settings, Runs.of(settings)).test_client()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Listen and never answer, as a host behind a broken link does."""
    with socket.create_server((LOOPBACK, free_port())) as server:
        yield server.getsockname()[1]


def _refused(scheme: str) -> str:
    return f"{scheme}://user:hunter2@{LOOPBACK}:{free_port()}"


def _assert_unavailable(client: FlaskClient, code: str) -> None:
    started_s = time.monotonic()
    answer = client.post(REVERSE, json=BODY)
    took_s = time.monotonic() - started_s

    assert (answer.status_code, answer.get_json()["code"]) == (503, code)
    assert int(answer.headers["Retry-After"]) > 0
    assert took_s < 3
    assert "hunter2" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_broker_that_refuses_connections(redis_server: RedisServer, scheme: str) -> None:
    redis_server.flush()

    _assert_unavailable(_client(_refused(scheme), redis_server.url), "broker_unavailable")

    with redis_server.client() as redis:
        assert redis.keys("*") == []


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_broker_that_never_answers(
    redis_server: RedisServer, scheme: str, silent_port: int
) -> None:
    redis_server.flush()

    broker_url = f"{scheme}://{LOOPBACK}:{silent_port}"
    _assert_unavailable(_client(broker_url, redis_server.url), "broker_unavailable")

    with redis_server.client() as redis:
        assert redis.keys("*") == []


def test_result_backend_that_refuses_connections(rabbitmq_server: RabbitMQServer) -> None:
    with rabbitmq_server.fresh_vhost() as broker_url:
        client = _client(broker_url, _refused("redis"))

        _assert_unavailable(client, "results_unavailable")

        assert client.get("/readyz").get_json()["checks"] == {
            "broker": "ok", "redis": "unreachable",
        }  # fmt: skip
        queues = rabbitmq_server.api("GET", "queues")
        assert isinstance(queues, list)
        assert not [q for q in queues if q["vhost"] in broker_url and q.get("messages")]


def test_result_backend_that_never_answers(
    rabbitmq_server: RabbitMQServer, silent_port: int
) -> None:
    with rabbitmq_server.fresh_vhost() as broker_url:
        _assert_unavailable(
            _client(broker_url, f"redis://{LOOPBACK}:{silent_port}"), "results_unavailable"
        )


def test_everything_works_again_when_the_servers_are_back(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        client = _client(server.url, server.url)
        assert client.post(REVERSE, json=BODY).status_code == 202
        server.stop()
        _assert_unavailable(client, "results_unavailable")
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200

        server.start()

        assert client.post(REVERSE, json=BODY).status_code == 202
        assert client.get("/readyz").status_code == 200


def test_alarm_of_the_broker_does_not_hang_a_submission(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    from servers import rabbitmq_server as own_rabbitmq

    with own_rabbitmq(tmp_path) as rabbitmq, rabbitmq.fresh_vhost() as broker_url:
        client = _client(broker_url, redis_server.url)
        assert client.post(REVERSE, json=BODY).status_code == 202

        rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0")

        started_s = time.monotonic()
        assert client.post(REVERSE, json=BODY).status_code == 503
        assert time.monotonic() - started_s < 6
