"""Attempts to sign in: counted for all web processes together, by each alone without Redis."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue

import pytest

from celeriac.access.attempts import LIMITS, Attempts
from celeriac.access.errors import SignInError, TooManyAttemptsError
from celeriac.errors import HistoryUnavailableError
from processes import free_port
from servers import RedisServer

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"
MANY = 40


def _fail(counts: Attempts, name: str, address: str) -> None:
    with suppress(SignInError), counts.one(name, address):
        raise SignInError


def _succeed(counts: Attempts, name: str, address: str) -> None:
    with counts.one(name, address):
        pass


def test_webs_that_share_a_redis_count_together(server: RedisServer) -> None:
    one, other = Attempts(server.url), Attempts(server.url)
    for counts in [one, other] * 5:
        _fail(counts, "ada", HERE)

    for counts in (one, other, Attempts(server.url)):
        with pytest.raises(TooManyAttemptsError) as refused:
            _succeed(counts, "Ada ", HERE)
        assert 290 <= refused.value.retry_after_s <= 300
        _succeed(counts, "ada", ELSEWHERE)
        _succeed(counts, "eve", HERE)


def test_those_who_try_at_once_get_no_more_tries(server: RedisServer) -> None:
    webs = [Attempts(), Attempts(server.url)]
    for counts in webs:
        assert _let_in_at_once(counts, "ada") == 10


def _let_in_at_once(counts: Attempts, name: str) -> int:
    """Try many times at once, each as long as not all were let in or refused; all fail."""
    decided: SimpleQueue[bool] = SimpleQueue()
    all_are = threading.Event()

    def guess() -> None:
        with suppress(SignInError), counts.one(name, HERE):
            decided.put(True)
            all_are.wait(60)
            raise SignInError

    def guess_or_not() -> None:
        try:
            guess()
        except TooManyAttemptsError:
            decided.put(False)

    with ThreadPoolExecutor(MANY) as pool:
        done = [pool.submit(guess_or_not) for _ in range(MANY)]
        found = [decided.get(timeout=60) for _ in done]
        all_are.set()
    return sum(found)


def test_attempt_that_does_not_fail_is_not_counted(server: RedisServer) -> None:
    for counts in (Attempts(), Attempts(server.url)):
        for _ in range(60):
            _succeed(counts, "ada", HERE)
        for _ in range(20):
            with pytest.raises(HistoryUnavailableError), counts.one("ada", HERE):
                raise HistoryUnavailableError("It is away.")

        assert _let_in_at_once(counts, "ada") == 10


def test_what_was_typed_is_nowhere_and_every_count_ends(server: RedisServer) -> None:
    for n in range(3):
        _fail(Attempts(server.url), f"my password {n}", HERE)

    with server.client() as client:
        kept = [key.decode() for key in client.scan_iter()]
        assert len(kept) == 7, "two for each name and one for the address"
        assert not [key for key in kept if "password" in key]
        lasts = max(limit.get_expiry() for _, limit in LIMITS)
        assert all(0 < client.ttl(key) <= lasts for key in kept)


def test_without_redis_each_web_counts_alone() -> None:
    counts = Attempts(f"redis://127.0.0.1:{free_port()}/0")
    for _ in range(10):
        _fail(counts, "ada", HERE)

    with pytest.raises(TooManyAttemptsError):
        _fail(counts, "ada", HERE)
    _succeed(counts, "ada", ELSEWHERE)
