"""The one way to a Redis of ours: an address as Celery writes it, and a client that fails soon."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.errors import ResultsUnavailableError

TIMEOUT_S = 1.0
UNCHANGED = "The result backend (Redis) did not answer. Nothing was changed; try again shortly."
_BY_SOCKET = "redis+socket://"


def connect(url: str, *, timeout_s: float = TIMEOUT_S, tries: int = 2) -> Any:
    """Give a client; each try to reach Redis, and each answer, may take so long.

    The types cannot tell one kind of answer from another.
    """
    return redis.Redis.from_url(
        redis_address(url),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, TIMEOUT_S),
        retry=Retry(NoBackoff(), tries - 1),
    )


def connect_on_loop(url: str, *, timeout_s: float) -> Any:
    """Give a client for an event loop, whose answers are decoded."""
    return redis.asyncio.Redis.from_url(
        redis_address(url),
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=2 * TIMEOUT_S,
    )


async def close_on_loop(client: Any) -> None:
    """Close such a client, also where everything is cancelled meanwhile since its loop ends.

    redis-py closes each connection in a task of its own. What is cancelled before its first step
    has closed nothing.
    """
    try:
        await client.aclose()
    except asyncio.CancelledError:
        await client.aclose()
        raise


def redis_address(url: str) -> str:
    """Write an address as redis-py reads it.

    For a socket, Celery and kombu have a scheme of their own, and call the database `virtual_host`.
    """
    if not url.startswith(_BY_SOCKET):
        return url
    path, mark, query = url.removeprefix(_BY_SOCKET).partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    options = (
        f"db={value.strip('/') or 0}" if name == "virtual_host" else f"{name}{sign}{value}"
        for name, sign, value in pairs
    )
    return f"unix://{path}{mark}{'&'.join(options)}"


@contextmanager
def redis_errors(sentence: str = UNCHANGED) -> Iterator[None]:
    """Say in a sentence what it means that Redis is away.

    Raises:
        ResultsUnavailableError: it is.
    """
    try:
        yield
    except redis.RedisError as error:
        raise ResultsUnavailableError(sentence) from error
