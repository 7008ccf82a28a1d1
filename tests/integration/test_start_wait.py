"""Roles wait at their start for what they need, so long and no longer, and say so in the end."""

import sys
from pathlib import Path

import pytest

import servers
from celeriac import start_wait
from celeriac.errors import HistoryUnavailableError
from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port
from servers import RabbitMQServer, RedisServer, clean_environment

NO_HISTORY = "postgresql://celeriac@127.0.0.1:1/celeriac"


def _started(role: str, folder: Path, **addresses: str) -> ChildProcess:
    """Start a role that waits three seconds; of what is not given, nothing answers."""
    nobody = f"redis://{LOOPBACK}:{free_port()}/0"
    given = {"CELERIAC_BROKER_URL": nobody, "CELERIAC_REDIS_URL": nobody, **addresses}
    process = ChildProcess(
        command=[sys.executable, "-m", "celeriac", role],
        log_path=folder / "role.log",
        env=clean_environment(
            folder,
            CELERIAC_FLOWER_PORT=str(free_port()),
            CELERIAC_PORT=str(free_port()),
            **{"CELERIAC_START_WAIT_S": "3", **given},
        ),
        cwd=folder,
    )
    process.start()
    return process


@pytest.mark.parametrize(
    ("role", "away", "missing"),
    [
        (
            "worker",
            {"CELERIAC_BROKER_URL": "amqp://127.0.0.1:1"},
            "The broker did not answer as it should at ",
        ),
        ("worker", {}, "The broker did not answer as it should at "),
        (
            "flower",
            {"CELERIAC_BROKER_URL": "amqp://127.0.0.1:1"},
            "The broker did not answer as it should at ",
        ),
        ("flower", {}, "The broker did not answer as it should at "),
        ("recorder", {}, "Redis did not answer"),
        ("web", {"CELERIAC_AUTHENTICATION": "on"}, "PostgreSQL"),
    ],
)
def test_role_ends_with_a_line_that_says_what_is_missing(
    role: str, away: dict[str, str], missing: str, tmp_path: Path
) -> None:
    process = _started(role, tmp_path, CELERIAC_HISTORY_URL=NO_HISTORY, **away)

    _check_end(process, role, missing)


@pytest.mark.parametrize(
    ("role", "missing"), [("worker", "Redis did not answer"), ("recorder", "PostgreSQL")]
)
def test_role_that_has_the_first_of_two_waits_for_the_second(
    role: str, missing: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    there = {"worker": "CELERIAC_BROKER_URL", "recorder": "CELERIAC_REDIS_URL"}[role]
    addresses = {there: redis_server.url, "CELERIAC_HISTORY_URL": NO_HISTORY}

    process = _started(role, tmp_path, **addresses)

    _check_end(process, role, missing)


@pytest.mark.parametrize("role", ["worker", "flower"])
def test_refused_password_is_told_as_one(
    role: str, rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    wrong = rabbitmq_server.url.replace("guest:guest", "guest:not-this-one")

    process = _started(role, tmp_path, CELERIAC_BROKER_URL=wrong)

    _check_end(process, role, "ACCESS_REFUSED")
    assert "not-this-one" not in process.log_path.read_text()


def _check_end(process: ChildProcess, role: str, missing: str) -> None:
    eventually(lambda: not process.is_running, deadline_s=100)
    text = process.log_path.read_text()
    last = text.strip().splitlines()[-1]
    assert last.startswith("celeriac: ") and missing in last, text
    assert f"The {role} waited 3 s for it (CELERIAC_START_WAIT_S) and ends." in last
    assert "Trying again" in text
    assert "Traceback" not in text
    assert process.stop() == 1


def test_recorder_goes_on_as_soon_as_redis_answers(
    tmp_path: Path,
) -> None:
    with servers.redis_server(tmp_path) as redis:
        redis.stop()
        addresses = {"CELERIAC_REDIS_URL": redis.url, "CELERIAC_START_WAIT_S": "100"}
        process = _started("recorder", tmp_path, **addresses)
        eventually(lambda: "Trying again" in process.log_path.read_text(), deadline_s=60)

        redis.start()

        eventually(lambda: "The recorder is ready" in process.log_path.read_text(), deadline_s=60)
        assert process.stop() == 0


def test_what_is_waited_for_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise HistoryUnavailableError("It is away.")

    monkeypatch.setattr(start_wait, "AGAIN_AFTER_S", 0.01)

    start_wait.wait_for(ask, "web", 60)

    assert len(asked) == 3
