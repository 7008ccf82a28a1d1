"""The two kinds of stack that every test of the pages runs on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

import servers
from postgres import PostgresServer
from running_stack import RunningStack, running_stack
from servers import RabbitMQServer

EMBEDDED = "embedded"
KINDS = (EMBEDDED, "rabbitmq+redis+postgresql")
"""Valkey for everything with the history in SQLite, as on a laptop; and servers for each."""


@contextmanager
def stack_of_kind(
    kind: str, request: pytest.FixtureRequest, folder: Path, environment: Mapping[str, str]
) -> Iterator[RunningStack]:
    """Run `celeriac up` on this kind of servers."""
    if kind == EMBEDDED:
        with running_stack(folder, environment=environment) as running:
            yield running
        return
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    history_url = postgres.create_database(f"stack_{uuid4().hex}")
    (folder / "redis").mkdir()
    with (
        # Not the one that all tests share: others flush it, and this stack outlives many tests.
        servers.redis_server(folder / "redis") as redis,
        rabbitmq.fresh_vhost() as broker_url,
        running_stack(
            folder,
            broker_url=broker_url,
            redis_url=redis.url,
            environment={**environment, "CELERIAC_HISTORY_URL": history_url},
        ) as running,
    ):
        yield running
