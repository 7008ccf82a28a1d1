"""Servers for every tier above `unit`, started once a session and only when a test asks.

And for every tier: the shared tasks of a test module are its own.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import mail_server
import postgres
import servers
from mail_server import SmtpServer
from postgres import PostgresServer
from servers import RabbitMQServer, RedisServer
from task_modules import imported_task_modules, own_shared_tasks

# Speed is measured in bench/, never in a test; in CI the same examples are drawn each time.
settings.register_profile(
    "celeriac",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("celeriac")

PLAIN_PROJECT = Path(__file__).parent / "plainproject"


def pytest_collection_finish() -> None:
    """Refuse test modules that import tasks: every app of the process would have them."""
    if found := imported_task_modules():
        raise pytest.UsageError(f"a test module imports {sorted(found)}; let a worker do it")


@pytest.fixture(scope="module", autouse=True)
def _own_shared_tasks() -> Iterator[None]:
    """Let each test module have the tasks of Celeriac, and those that its own apps import."""
    with own_shared_tasks():
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run Redis; all tests share it, so a test that stops it starts one of its own instead."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run the Valkey server that `celeriac up` embeds; shared like the others."""
    with servers.valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """Run RabbitMQ; shared like the others, so take a `fresh_vhost()` of it."""
    with servers.rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Run PostgreSQL; shared like the others, so `create_database()` in it."""
    with postgres.postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    """Run a mail server that accepts everything until the test tells it otherwise."""
    with mail_server.smtp_server() as server:
        yield server


@pytest.fixture
def plain_project(tmp_path: Path) -> Path:
    """Give a copy of somebody's plain Celery project: the folder to run things in."""
    return shutil.copytree(PLAIN_PROJECT, tmp_path / "plainproject")
