"""Slows down those who guess passwords, and locks nobody out for long.

The counts are in Redis, so that all web processes count together, and end there by themselves.
While Redis is away each process counts alone: nobody is kept from signing in by that.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from celeriac.access.errors import SignInError, TooManyAttemptsError
from celeriac.access.secret import digest_of
from celeriac.redis_client import connect, redis_address

LIMITS: Final = (
    ("both", parse_many("10 per 5 minutes")[0]),
    ("address", parse_many("50 per 5 minutes")[0]),
    ("name", parse_many("100 per 15 minutes")[0]),
)
"""A name may be tried by somebody else, so its own limit is wide."""
PREFIX: Final = "celeriac-attempts"
Keys = list[tuple[RateLimitItem, tuple[str, ...]]]


class Attempts:
    """Counts failed attempts: in this process, and in a Redis where one is given."""

    def __init__(self, redis_url: str | None = None) -> None:
        """Connect to nothing yet."""
        self._counts: list[FixedWindowRateLimiter] = [_Own(MemoryStorage())]
        if redis_url is not None:
            pool = connect(redis_url).connection_pool
            storage = RedisStorage(redis_address(redis_url), pool, PREFIX, wrap_exceptions=True)
            self._counts.append(FixedWindowRateLimiter(storage))

    @contextmanager
    def one(self, name: str, address: str) -> Iterator[None]:
        """Count an attempt before it costs anything, and take that back unless it fails.

        So many that come at once are as few as those that come one after the other.

        Raises:
            TooManyAttemptsError: there were too many; it tells how long to wait.
        """
        keys, has_failed = _keys(name, address), False
        for counts in self._counts:
            with suppress(StorageError):
                _take(counts, keys)
        try:
            yield
        except SignInError:
            has_failed = True
            raise
        finally:
            if not has_failed:
                self._take_back(keys)

    def _take_back(self, keys: Keys) -> None:
        for counts in self._counts:
            with suppress(StorageError):
                for limit, words in keys:
                    counts.hit(limit, *words, cost=-1)


class _Own(FixedWindowRateLimiter):
    """Counts of this process alone; the storage may forget one that two threads begin at once."""

    def __init__(self, storage: MemoryStorage) -> None:
        super().__init__(storage)
        self._lock = threading.Lock()

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        with self._lock:
            return super().hit(item, *identifiers, cost=cost)


def _take(counts: FixedWindowRateLimiter, keys: Keys) -> None:
    for limit, words in keys:
        if not counts.hit(limit, *words):
            ends_s = counts.get_window_stats(limit, *words).reset_time
            raise TooManyAttemptsError(max(1, round(ends_s - time.time())))


def _keys(name: str, address: str) -> Keys:
    """Name the counts; not by the name itself, since somebody may have typed a password there."""
    name = digest_of(name.strip().lower())
    words = {"both": (name, address), "address": (address,), "name": (name,)}
    return [(limit, (kind, *words[kind])) for kind, limit in LIMITS]
