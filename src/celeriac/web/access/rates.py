"""How much anybody may ask for: each token, each person, and each address.

All web processes count together, in Redis. To ask it for every request would cost more than most
requests do, so a process takes some at a time from what is left, and spends them by itself. While
Redis is away, each process counts alone.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from celeriac.redis_client import connect, redis_address

SHARE: Final = 50
"""A process takes so small a part of a limit at once: 2 % of it, or one request."""
PREFIX: Final = "celeriac-rate"
AGAIN_AFTER_S: Final = 5.0
TIMEOUT_S: Final = 0.25
MOST_KEPT: Final = 20_000
"""So many of those who ask are remembered, here and while Redis is away; beyond, all begin anew."""

log = logging.getLogger(__name__)


@dataclass
class Left:
    """What is left of a limit until its window ends; `here` of it belongs to this process.

    `is_told` says that the log has who ran out of it.
    """

    here: int
    elsewhere: int
    ends_s: float
    is_told: bool = False

    @property
    def count(self) -> int:
        """Give how many requests are left."""
        return self.here + self.elsewhere

    @property
    def wait_s(self) -> int:
        """Give in how many seconds the limit is whole again, at least one."""
        return max(1, round(self.ends_s - time.time()))


class SharedCounts:
    """Counts in Redis, or in this process while Redis is away; it is asked again seconds later."""

    def __init__(self, redis_url: str | None) -> None:
        self._own = _Own()
        self._shared = None if redis_url is None else _shared(redis_url)
        self._away_until_s = 0.0

    def take(self, limit: RateLimitItem, most: int, *words: str) -> Left:
        """Take up to `most` requests of what is left of a limit."""
        return self._ask(lambda counts: _take(counts, limit, most, words))

    def look(self, limit: RateLimitItem, *words: str) -> Left:
        """Tell what is left of a limit, and take nothing."""
        return self._ask(lambda counts: _look(counts, limit, words))

    def _ask(self, question: Callable[[FixedWindowRateLimiter], Left]) -> Left:
        if self._shared is not None and time.monotonic() >= self._away_until_s:
            try:
                return question(self._shared)
            except StorageError as error:
                self._away_until_s = time.monotonic() + AGAIN_AFTER_S
                log.warning("Redis is away, so each web process counts alone: %s", error)
        return question(self._own)


class _Own(FixedWindowRateLimiter):
    """Counts of this process alone, and of no more than can be remembered."""

    storage: MemoryStorage

    def __init__(self) -> None:
        super().__init__(MemoryStorage())

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        if len(self.storage.storage) >= MOST_KEPT:
            # To empty the old one would trip its thread, which may be going through it.
            self.storage = MemoryStorage()
        return super().hit(item, *identifiers, cost=cost)


def _shared(redis_url: str) -> FixedWindowRateLimiter:
    pool = connect(redis_url, timeout_s=TIMEOUT_S, tries=1).connection_pool
    storage = RedisStorage(redis_address(redis_url), pool, PREFIX, wrap_exceptions=True)
    return FixedWindowRateLimiter(storage)


def _take(
    counts: FixedWindowRateLimiter, limit: RateLimitItem, most: int, words: tuple[str, ...]
) -> Left:
    taken = min(most, counts.get_window_stats(limit, *words).remaining)
    if taken and not counts.hit(limit, *words, cost=taken):
        taken = 0  # Another process was quicker.
    left = _look(counts, limit, words)
    return Left(taken, left.elsewhere, left.ends_s)


def _look(counts: FixedWindowRateLimiter, limit: RateLimitItem, words: tuple[str, ...]) -> Left:
    stats = counts.get_window_stats(limit, *words)
    return Left(0, stats.remaining, stats.reset_time)


class Rate:
    """One limit, for any number of those who ask."""

    def __init__(self, counts: SharedCounts, text: str, times: int = 1) -> None:
        one = parse(text)
        self._limit = type(one)(one.amount * times, one.multiples)
        self._most = max(1, self._limit.amount // SHARE)
        self._counts = counts
        self._left: dict[str, Left] = {}
        self._lock = threading.Lock()

    @property
    def amount(self) -> int:
        """Give how many requests it allows."""
        return self._limit.amount

    @property
    def window_s(self) -> int:
        """Give in how many seconds."""
        return self._limit.get_expiry()

    def spend(self, key: str) -> tuple[bool, Left]:
        """Tell whether whoever has this key may ask once more, and what is left then."""
        may, left = self._spend(key)
        if not may and not left.is_told:
            left.is_told = True
            text = "%s asks more often than %s; it is refused for %d seconds"
            log.warning(text, key, self._limit, left.wait_s)
        return may, left

    def _spend(self, key: str) -> tuple[bool, Left]:
        with self._lock:
            if (left := self._left.get(key)) is not None and left.ends_s > time.time():
                if left.here:
                    left.here -= 1
                    return True, left
                if not left.elsewhere:
                    return False, left
        found = self._counts.take(self._limit, self._most, key)
        return self._keep(key, found)

    def _keep(self, key: str, found: Left) -> tuple[bool, Left]:
        with self._lock:
            if (kept := self._left.get(key)) is not None and kept.ends_s > time.time():
                found.here += kept.here  # Another thread has asked meanwhile, too.
            elif len(self._left) >= MOST_KEPT:
                self._forget()
            may = found.here > 0
            found.here -= may
            self._left[key] = found
        return may, found

    def _forget(self) -> None:
        """Make room, and enough of it that this is not done for each who comes."""
        now_s = time.time()
        self._left = {key: left for key, left in self._left.items() if left.ends_s > now_s}
        if len(self._left) > MOST_KEPT // 2:
            self._left.clear()


def address_key(address: str) -> str:
    """Give what counts as one address: of IPv6 a network, since anybody has millions in theirs."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return f"{found.exploded[:19]}::/64"
    return str(found)
