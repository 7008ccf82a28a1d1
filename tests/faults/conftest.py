"""What there is to break: on Valkey with SQLite, and on RabbitMQ, Redis and PostgreSQL.

`system` is for one fault at a time (see `ordeal`): its parts are processes of their own, which the
tests of a module share, and whoever breaks one need not mend it. `on_valkey` and `on_rabbitmq` are
a whole `celeriac up`, which mends itself.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

import servers
from breakable import CONCURRENCY, Breakable
from executions import COUNTED_IN
from fault_system import System, environment, running
from postgres import PostgresServer
from reaper import kill_role
from running_stack import RunningStack
from servers import RabbitMQServer, RedisServer

EXECUTED = "executed"
KINDS = ("RabbitMQ", "Valkey")
PROGRAM = Path(__file__).with_name("impatient_stack.py")


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """Run a RabbitMQ that only these tests break, one after the other."""
    with servers.rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def unstarted_system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give a system for the tests of a module, on each kind of broker; only its servers run."""
    folder = tmp_path_factory.mktemp("system")
    make = {"RabbitMQ": _system_on_rabbitmq, "Valkey": _system_on_valkey}[request.param]
    with make(request, folder) as system:
        yield system


@pytest.fixture(scope="module")
def running_system(unstarted_system: System) -> Iterator[System]:
    """Run it."""
    with running(unstarted_system) as system:
        yield system


@pytest.fixture
def system(running_system: System) -> System:
    """Give the system, whole again whatever the test before did to it."""
    running_system.mend()
    return running_system


@contextmanager
def _system_on_rabbitmq(request: pytest.FixtureRequest, folder: Path) -> Iterator[System]:
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    history_url = postgres.create_database(f"faults_{uuid4().hex}")
    with servers.redis_server(folder) as redis, rabbitmq.fresh_vhost() as broker_url:
        told = environment(broker_url, redis.url, history_url)
        yield System("RabbitMQ", folder, rabbitmq, redis, told)


@contextmanager
def _system_on_valkey(request: pytest.FixtureRequest, folder: Path) -> Iterator[System]:
    with servers.valkey_server(folder) as valkey:
        results_url = valkey.url.removesuffix("/0") + "/1"
        told = environment(valkey.url, results_url, f"sqlite:///{folder}/history.db")
        yield System("Valkey", folder, valkey, valkey, told)


@contextmanager
def _impatient(folder: Path, environment: Mapping[str, str]) -> Iterator[RunningStack]:
    stack = RunningStack(folder)
    stack.process.command = [sys.executable, PROGRAM]
    stack.process.env = {
        **stack.process.env,
        "CELERIAC_PORT": str(stack.port),
        "CELERIAC_DATA_DIR": str(stack.data_dir),
        "CELERIAC_CONCURRENCY": str(CONCURRENCY),
        "CELERIAC_TASKS": "counted_tasks",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        COUNTED_IN: str(folder / EXECUTED),
        "CELERIAC_LOG_LEVEL": "WARNING",
        **environment,
    }
    try:
        stack.start()
        yield stack
        stack.stop()
    finally:
        stack.close()


@pytest.fixture
def on_valkey(tmp_path: Path) -> Iterator[Breakable]:
    """Run on the embedded server, with SQLite."""
    with _impatient(tmp_path, {}) as stack:
        broken = Breakable(
            stack,
            f"sqlite:///{stack.data_dir}/history.db",
            lambda: _variable(stack.data_dir / "stack.env", "CELERIAC_REDIS_URL"),
            tmp_path / EXECUTED,
        )
        broken.kills["valkey"] = partial(kill_role, stack, "valkey")
        yield broken


@pytest.fixture
def on_rabbitmq(
    tmp_path: Path, rabbitmq: RabbitMQServer, postgres_server: PostgresServer
) -> Iterator[Breakable]:
    """Run on RabbitMQ, a Redis of its own and PostgreSQL."""
    history_url = postgres_server.create_database(f"faults_{uuid4().hex}")
    folder = tmp_path / "redis"
    folder.mkdir()
    with (
        servers.redis_server(folder, appendfsync="always") as redis,
        rabbitmq.fresh_vhost() as broker_url,
        _impatient(
            tmp_path,
            {
                "CELERIAC_BROKER_URL": broker_url,
                "CELERIAC_REDIS_URL": redis.url,
                "CELERIAC_HISTORY_URL": history_url,
            },
        ) as stack,
    ):
        broken = Breakable(stack, history_url, lambda: redis.url, tmp_path / EXECUTED)
        broken.kills["redis"] = partial(_crash, redis)
        yield broken


def _crash(redis: RedisServer) -> None:
    redis.kill()
    redis.start()


def _variable(path: Path, name: str) -> str:
    lines = path.read_text().splitlines()
    found = next(line for line in lines if line.startswith(f"{name}="))
    return found.partition("=")[2].strip("'")
