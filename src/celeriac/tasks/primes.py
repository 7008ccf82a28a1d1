"""A task that keeps a core busy, reports how far it is, and can be cancelled."""

from collections.abc import Callable
from math import isqrt
from time import monotonic
from typing import Annotated, Any

from celery import Task, shared_task
from celery.utils.log import get_task_logger
from pydantic import Field

SEGMENT = 1 << 18
"""Numbers that are sieved at once: the memory needed stays small whatever the limit."""
LOGGED_SHARE = 10
"""Percent of the way between two lines of the log."""

logger = get_task_logger(__name__)


@shared_task(name="primes.count", bind=True)
def count(
    self: "Task[Any, Any]", limit: Annotated[int, Field(ge=0, le=2_000_000_000)] = 300_000_000
) -> int:
    """Count the prime numbers up to a limit.

    Runs a segmented sieve of Eratosthenes on one core and reports its progress.

    Args:
        limit: The largest number to look at.
    """

    def report(reached: int, found: int) -> None:
        progress = {"current": reached, "total": limit, "message": f"{found:,} primes so far"}
        self.update_state(state="PROGRESS", meta=progress)
        percent = 100 * reached // max(limit, 1)
        if percent in range(LOGGED_SHARE, 100, LOGGED_SHARE):
            logger.info("%s primes up to %s", f"{found:,}", f"{reached:,}")

    logger.info("Sieving up to %s, %s numbers at a time", f"{limit:,}", f"{SEGMENT:,}")
    began_s = monotonic()
    found = count_primes(limit, report)
    rate = limit / max(monotonic() - began_s, 1e-9) / 1e6
    logger.info("Found %s primes at %.0f million numbers a second", f"{found:,}", rate)
    return found


def count_primes(limit: int, report: Callable[[int, int], None]) -> int:
    """Count primes, telling `report` after each percent how far it is and what it has found."""
    small = _primes_up_to(isqrt(limit))
    found, reported_percent = 0, -1
    for start in range(2, limit + 1, SEGMENT):
        end = min(start + SEGMENT, limit + 1)
        found += _count_between(start, end, small)
        percent = 100 * end // (limit + 1)
        if percent > reported_percent:
            reported_percent = percent
            report(end - 1, found)
    return found


def _primes_up_to(limit: int) -> list[int]:
    sieve = bytearray([1]) * (limit + 1)
    sieve[:2] = bytes(min(2, limit + 1))
    for number in range(2, isqrt(limit) + 1):
        if sieve[number]:
            _cross_out(sieve, number * number, number)
    return [number for number, is_prime in enumerate(sieve) if is_prime]


def _count_between(start: int, end: int, primes: list[int]) -> int:
    """Count the primes in [start, end); `primes` reach to the square root of `end`."""
    sieve = bytearray([1]) * (end - start)
    for prime in primes:
        if prime * prime >= end:
            break
        first = max(prime * prime, -(-start // prime) * prime)
        _cross_out(sieve, first - start, prime)
    return sum(sieve)


def _cross_out(sieve: bytearray, first: int, step: int) -> None:
    sieve[first::step] = bytes(len(range(first, len(sieve), step)))
