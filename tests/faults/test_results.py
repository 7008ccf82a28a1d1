"""A result backend that is away or full: workers wait for it, and acknowledge nothing untold."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eventually import eventually
from fault_load import SENT_TWICE, Load
from fault_system import EXECUTED_AT_ONCE, System
from ordeal import ordeal
from servers import RedisServer

STOPPED_S = float(os.environ.get("STOPPED_S") or 30)
IN_HAND = 2 * EXECUTED_AT_ONCE
REFUSALS = 20

pytestmark = pytest.mark.timeout(900)
on_rabbitmq = pytest.mark.parametrize("unstarted_system", ["RabbitMQ"], indirect=True)


@on_rabbitmq
def test_redis_restarted(system: System) -> None:
    with ordeal(system, "Redis restarted") as load:
        _keep_workers_busy(load)
        system.redis.stop()
        system.redis.start()
    assert load.lost() == set()


@on_rabbitmq
def test_redis_stopped_for_a_while(system: System) -> None:
    with ordeal(system, f"Redis stopped for {STOPPED_S:g} s") as load:
        _keep_workers_busy(load)
        system.redis.stop()
        threading.Event().wait(STOPPED_S)  # That time goes by is the fault.
        system.redis.start()
    assert load.lost() == set()


def test_redis_out_of_memory(system: System) -> None:
    with ordeal(system, "result backend out of memory", again=SENT_TWICE) as load:
        _keep_workers_busy(load)
        with _without_memory(system.redis):
            eventually(lambda: load.refused + len(load.unconfirmed) >= REFUSALS, deadline_s=180)
    assert load.lost() == set()


def _keep_workers_busy(load: Load) -> None:
    """See to it that runs are in hand, and end only while the result backend is away."""
    for _ in range(IN_HAND):
        load.submit(work_s=1)


@contextmanager
def _without_memory(redis: RedisServer) -> Iterator[None]:
    """Let a server take no more data until the block ends; it forgets nothing (noeviction)."""
    with redis.client() as client:
        client.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")
