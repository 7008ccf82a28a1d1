"""Slows down those who guess passwords, and locks nobody out for long."""

import time
from typing import Final

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from celeriac.access.errors import TooManyAttemptsError

LIMITS: Final = (
    ("both", parse_many("10 per 5 minutes")[0]),
    ("address", parse_many("50 per 5 minutes")[0]),
    ("name", parse_many("100 per 15 minutes")[0]),
)
"""A name may be tried by somebody else, so its own limit is wide."""


class Attempts:
    """Counts failed attempts in this process."""

    def __init__(self) -> None:
        self._counts = MovingWindowRateLimiter(MemoryStorage())

    def check(self, name: str, address: str) -> None:
        """Refuse an attempt, before it costs anything, where there were too many.

        Raises:
            TooManyAttemptsError: there were; it tells how long to wait.
        """
        for limit, words in _keys(name, address):
            if not self._counts.test(limit, *words):
                ends_s = self._counts.get_window_stats(limit, *words).reset_time
                raise TooManyAttemptsError(max(1, round(ends_s - time.time())))

    def failed(self, name: str, address: str) -> None:
        """Count an attempt that failed."""
        for limit, words in _keys(name, address):
            self._counts.hit(limit, *words)


def _keys(name: str, address: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    name = name.strip().lower()[:200]
    words = {"both": (name, address), "address": (address,), "name": (name,)}
    return [(limit, (kind, *words[kind])) for kind, limit in LIMITS]
