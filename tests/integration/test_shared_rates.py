"""Rates that web processes count together in Redis, and each alone while it is away."""

import time
from pathlib import Path

from limits import parse

import servers
from celeriac.web.access.rates import AGAIN_AFTER_S, Rate, SharedCounts
from eventually import eventually
from servers import RedisServer

LIMIT = "100/hour"


def test_processes_share_limits_on_every_server(server: RedisServer) -> None:
    both = [Rate(SharedCounts(server.url), LIMIT) for _ in range(2)]

    assert sum(rate.spend("ada")[0] for _ in range(100) for rate in both) == 100
    assert 3590 <= both[0].spend("ada")[1].wait_s <= 3600


def test_each_counts_alone_while_redis_is_away(tmp_path: Path) -> None:
    limit = parse(LIMIT)
    with servers.valkey_server(tmp_path) as server:
        counts = SharedCounts(server.url)
        assert counts.take(limit, 60, "ada").count == 100
        server.stop()
        alone = counts.take(limit, 60, "ada")
        assert (alone.here, alone.count) == (60, 100)
        server.start()
        eventually(lambda: counts.look(limit, "ada").count == 40, deadline_s=30)


def test_redis_that_hangs_is_asked_once_in_seconds(tmp_path: Path) -> None:
    limit = parse("5/second")
    with servers.valkey_server(tmp_path) as server:
        counts = SharedCounts(server.url)
        counts.look(limit, "ada")
        server.process.freeze()
        try:
            began_s = time.monotonic()
            counts.look(limit, "ada")
            away_until_s = counts._away_until_s
            assert away_until_s - began_s < AGAIN_AFTER_S + 1, "it is asked once"
            for _ in range(100):
                counts.look(limit, "ada")
            assert counts._away_until_s == away_until_s > 0
        finally:
            server.process.thaw()
