"""The two pairs of servers that everything must work on."""

from collections.abc import Iterator

import pytest

from servers import RabbitMQServer, RedisServer
from services import Services


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


def _on_valkey(valkey: RedisServer) -> Services:
    """Use one server for both, in the databases that `celeriac up` uses."""
    valkey.flush()
    return Services(valkey.url, valkey.url.removesuffix("/0") + "/1")
