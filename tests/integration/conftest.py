"""The pairs of servers, the result servers and the databases that everything must work on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from celeriac.backend import RunBackend
from celeriac.history import History
from postgres import PostgresServer
from servers import RabbitMQServer, RedisServer
from services import Services


@pytest.fixture(scope="session", autouse=True)
def _own_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no app write into the data directory of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERIAC_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module", params=["valkey", "rabbitmq+redis"])
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Give broker and result backend: the embedded server for both, then RabbitMQ and Redis.

    They are empty at the start of each module: a virtual host of its own, and flushed databases.
    """
    if request.param == "valkey":
        yield _on_valkey(request.getfixturevalue("valkey_server"))
        return
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    redis: RedisServer = request.getfixturevalue("redis_server")
    redis.flush()
    with rabbitmq.fresh_vhost() as broker_url:
        yield Services(broker_url, redis.url)


@pytest.fixture(params=["valkey_server", "redis_server"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give a result server that holds nothing yet: a Valkey, then a Redis."""
    server: RedisServer = request.getfixturevalue(request.param)
    server.flush()
    return server


@pytest.fixture
def app(server: RedisServer) -> Iterator[Celery]:
    """Give a Celery app whose results go to the server by our backend."""
    app = Celery("results", backend=f"celeriac+{server.url}", set_as_current=False)
    app.conf.result_backend_always_retry = True
    yield app
    app.close()


@pytest.fixture
def backend(app: Celery) -> RunBackend:
    """Give the backend of the app."""
    backend: RunBackend = app.backend
    return backend


@pytest.fixture
def redis_url(valkey_server: RedisServer) -> str:
    """Give the address of a result server that holds nothing yet, where any will do."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
def stream(valkey_server: RedisServer, redis_url: str) -> Iterator[Any]:
    """Give a client of that server, which reads and writes the stream of events."""
    with valkey_server.client() as client:
        yield client


@pytest.fixture(params=["sqlite", "postgresql"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database: a file, then a database of a server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(f"test_{uuid4().hex}")


@pytest.fixture
def history(history_url: str) -> Iterator[History]:
    """Give a history that holds nothing yet."""
    history = History(history_url, wait_s=2)
    history.migrate()
    yield history
    history.close()


def _on_valkey(valkey: RedisServer) -> Services:
    """Use one server for both, in the databases that `celeriac up` uses."""
    valkey.flush()
    return Services(valkey.url, valkey.url.removesuffix("/0") + "/1")
