"""Slows down those who guess passwords, and locks nobody out for long.

The counts are in Redis, so that all web processes count together, and end there by themselves.
While Redis is away each process counts alone: nobody is kept from signing in by that.
"""

import time
from contextlib import suppress
from typing import Final

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from celeriac.access.errors import TooManyAttemptsError
from celeriac.access.secret import digest_of
from celeriac.redis_client import connect, redis_address

LIMITS: Final = (
    ("both", parse_many("10 per 5 minutes")[0]),
    ("address", parse_many("50 per 5 minutes")[0]),
    ("name", parse_many("100 per 15 minutes")[0]),
)
"""A name may be tried by somebody else, so its own limit is wide."""
PREFIX: Final = "celeriac-attempts"


class Attempts:
    """Counts failed attempts: in this process, and in a Redis where one is given."""

    def __init__(self, redis_url: str | None = None) -> None:
        """Connect to nothing yet."""
        self._counts = [MovingWindowRateLimiter(MemoryStorage())]
        if redis_url is not None:
            pool = connect(redis_url).connection_pool
            storage = RedisStorage(redis_address(redis_url), pool, PREFIX, wrap_exceptions=True)
            self._counts.append(MovingWindowRateLimiter(storage))

    def check(self, name: str, address: str) -> None:
        """Refuse an attempt, before it costs anything, where there were too many.

        Raises:
            TooManyAttemptsError: there were; it tells how long to wait.
        """
        for counts in self._counts:
            with suppress(StorageError):
                _check(counts, name, address)

    def failed(self, name: str, address: str) -> None:
        """Count an attempt that failed."""
        for counts in self._counts:
            with suppress(StorageError):
                for limit, words in _keys(name, address):
                    counts.hit(limit, *words)


def _check(counts: MovingWindowRateLimiter, name: str, address: str) -> None:
    for limit, words in _keys(name, address):
        if not counts.test(limit, *words):
            ends_s = counts.get_window_stats(limit, *words).reset_time
            raise TooManyAttemptsError(max(1, round(ends_s - time.time())))


def _keys(name: str, address: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    """Name the counts; not by the name itself, since somebody may have typed a password there."""
    name = digest_of(name.strip().lower())
    words = {"both": (name, address), "address": (address,), "name": (name,)}
    return [(limit, (kind, *words[kind])) for kind, limit in LIMITS]
