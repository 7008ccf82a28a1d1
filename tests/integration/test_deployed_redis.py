"""Redis with the users of the containers: deploy/redis/users.acl."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from eventually import eventually
from processes import free_port, is_listening
from servers import missing, valkey_program

USERS = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"


def _program(name: str) -> Path:
    if name == "valkey":
        return valkey_program()
    return Path(shutil.which("redis-server") or missing("Redis", "redis-server"))


@contextmanager
def _running(program: Path, folder: Path) -> Iterator[int]:
    users = folder / "users.acl"
    users.write_text(re.sub("@[A-Z]+_PASSWORD@", "word", USERS.read_text()))
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--aclfile", users, "--dir", folder]
    words += ["--appendonly", "yes", "--save", "", "--logfile", folder / "log"]
    with subprocess.Popen([program, *words]) as server:
        try:
            eventually(lambda: is_listening(port), deadline_s=60)
            yield port
        finally:
            server.kill()


@pytest.mark.parametrize("server", ["redis", "valkey"])
def test_what_was_written_in_one_transaction_survives_a_crash(server: str, tmp_path: Path) -> None:
    with (
        _running(_program(server), tmp_path) as port,
        Redis(port=port, username="celery", password="word") as client,
    ):
        client.pipeline(transaction=True).set("a", 1).set("b", 2).execute()

    with (
        _running(_program(server), tmp_path) as port,
        Redis(port=port, username="celery", password="word") as client,
    ):
        assert eventually(lambda: client.mget("a", "b"), deadline_s=60) == [b"1", b"2"]
    assert "CRITICAL" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("credentials", ["", ":word@", "default:word@"])
def test_nobody_gets_in_as_the_default_user(credentials: str, tmp_path: Path) -> None:
    with (
        _running(_program("redis"), tmp_path) as port,
        Redis.from_url(f"redis://{credentials}127.0.0.1:{port}/0") as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


@pytest.mark.parametrize("server", ["redis", "valkey"])
def test_flower_reads_and_tells_nobody_anything(server: str, tmp_path: Path) -> None:
    with (
        _running(_program(server), tmp_path) as port,
        Redis(port=port, username="flower", password="word") as client,
    ):
        assert client.get("celery-task-meta-1") is None
        for words in (("PUBLISH", "a", "b"), ("SPUBLISH", "a", "b"), ("SET", "a", "b")):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
