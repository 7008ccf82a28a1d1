"""Attempts to sign in: counted for all web processes together, by each alone without Redis."""

import pytest

from celeriac.access.attempts import LIMITS, Attempts
from celeriac.access.errors import TooManyAttemptsError
from processes import free_port
from servers import RedisServer

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"


def test_webs_that_share_a_redis_count_together(server: RedisServer) -> None:
    one, other = Attempts(server.url), Attempts(server.url)
    for counts in [one, other] * 5:
        counts.check("ada", HERE)
        counts.failed("ada", HERE)

    for counts in (one, other, Attempts(server.url)):
        with pytest.raises(TooManyAttemptsError) as refused:
            counts.check("Ada ", HERE)
        assert 290 <= refused.value.retry_after_s <= 300
        counts.check("ada", ELSEWHERE)
        counts.check("eve", HERE)


def test_what_was_typed_is_nowhere_and_every_count_ends(server: RedisServer) -> None:
    for n in range(3):
        Attempts(server.url).failed(f"my password {n}", HERE)

    with server.client() as client:
        kept = [key.decode() for key in client.scan_iter()]
        assert len(kept) == 7, "two for each name and one for the address"
        assert not [key for key in kept if "password" in key]
        lasts = max(limit.get_expiry() for _, limit in LIMITS)
        assert all(0 < client.ttl(key) <= lasts for key in kept)


def test_without_redis_each_web_counts_alone() -> None:
    counts = Attempts(f"redis://127.0.0.1:{free_port()}/0")
    for _ in range(10):
        counts.check("ada", HERE)
        counts.failed("ada", HERE)

    with pytest.raises(TooManyAttemptsError):
        counts.check("ada", HERE)
    counts.check("ada", ELSEWHERE)
