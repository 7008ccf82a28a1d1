"""The embedded Valkey server: what it keeps, whom it knows, and what its one user may do."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from celeriac.stack.folder import DataFolder
from celeriac.stack.valkey import EmbeddedValkey
from eventually import eventually
from processes import free_port, is_listening
from servers import valkey_program

INSPECTOR = "user inspector on nopass +config|get\n"


@contextmanager
def _running(valkey: EmbeddedValkey) -> Iterator[None]:
    """Run the server as `celeriac up` does, with a user more who sees its configuration."""
    with subprocess.Popen(valkey.command.argv, stdin=subprocess.PIPE) as server:
        assert server.stdin
        server.stdin.write((valkey.command.stdin + INSPECTOR).encode())
        server.stdin.close()
        try:
            eventually(lambda: is_listening(valkey.port), deadline_s=60)
            yield
        finally:
            server.kill()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with DataFolder(tmp_path_factory.mktemp("data")) as folder:
        valkey = EmbeddedValkey.prepare(folder)
        with _running(valkey):
            yield valkey


def test_it_loses_nothing_and_listens_on_this_machine_alone(valkey: EmbeddedValkey) -> None:
    url = f"redis://inspector:any@127.0.0.1:{valkey.port}"
    with Redis.from_url(url, decode_responses=True) as client:
        found = client.config_get("*")

    assert found | {
        "appendonly": "yes", "appendfsync": "no", "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    } == found  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["CONFIG GET *", "FLUSHALL", "KEYS *", "SHUTDOWN", "ACL LIST", "MODULE LIST"],
)
def test_its_user_cannot_govern_it(valkey: EmbeddedValkey, command: str) -> None:
    for url in (valkey.broker_url, valkey.redis_url):
        with (
            Redis.from_url(url.get_secret_value()) as client,
            pytest.raises(NoPermissionError),
        ):
            client.execute_command(*command.split())


@pytest.mark.parametrize("credentials", ["", ":{}@", "default:{}@", "celeriac:wrong@"])
def test_it_knows_nobody_else(valkey: EmbeddedValkey, credentials: str) -> None:
    user = credentials.format(valkey.password.get_secret_value())
    with (
        Redis.from_url(f"redis://{user}127.0.0.1:{valkey.port}/1") as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


def test_it_keeps_what_was_written_in_one_transaction(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        valkey = EmbeddedValkey.prepare(folder)
        with _running(valkey), Redis.from_url(valkey.redis_url.get_secret_value()) as client:
            client.pipeline(transaction=True).set("a", 1).set("b", 2).execute()

        with _running(valkey), Redis.from_url(valkey.redis_url.get_secret_value()) as client:
            assert eventually(lambda: client.mget("a", "b"), deadline_s=60) == [b"1", b"2"]


def test_it_takes_over_the_data_of_an_earlier_version_which_had_no_users(tmp_path: Path) -> None:
    port = free_port()
    with DataFolder(tmp_path) as folder:
        data = folder.make_folder("valkey")
        folder.remember("valkey.password", "kept-from-earlier")
        folder.remember("valkey.port", str(port))
        with subprocess.Popen(
            [valkey_program(), "--port", str(port), "--dir", data, "--appendonly", "yes",
             "--save", "", "--requirepass", "kept-from-earlier", "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
        ) as earlier:  # fmt: skip
            eventually(lambda: is_listening(port), deadline_s=60)
            with Redis(port=port, password="kept-from-earlier") as client:
                client.set("root", "celeriac")
            earlier.terminate()
            earlier.wait(60)

        valkey = EmbeddedValkey.prepare(folder)

        assert valkey.port == port
        with _running(valkey), Redis.from_url(valkey.broker_url.get_secret_value()) as client:
            assert client.get("root") == b"celeriac"
