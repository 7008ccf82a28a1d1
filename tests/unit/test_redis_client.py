"""Addresses as Celery writes them, read by redis-py."""

import pytest

from celeriac.redis_client import connect, redis_address


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://localhost:6379/3", 3),
        ("redis+socket:///run/redis.sock", 0),
        ("redis+socket:///run/redis.sock?virtual_host=1", 1),
        ("redis+socket:///run/redis.sock?virtual_host=/2", 2),
        ("redis+socket:///run/redis.sock?virtual_host=1&health_check_interval=5", 1),
    ],
)
def test_client_reads_the_database_that_celery_writes(url: str, database: int) -> None:
    options = connect(url).connection_pool.connection_kwargs

    assert options.get("db", 0) == database


def test_options_of_a_socket_stay() -> None:
    url = "redis+socket://user:p%40ss@/run/redis.sock?virtual_host=1&health_check_interval=5"

    assert redis_address(url) == "unix://user:p%40ss@/run/redis.sock?db=1&health_check_interval=5"


def test_address_of_a_host_stays_as_it_is() -> None:
    assert redis_address("rediss://host:1/0?ssl_cert_reqs=none") == (
        "rediss://host:1/0?ssl_cert_reqs=none"
    )
