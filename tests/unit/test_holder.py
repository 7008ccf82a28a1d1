"""How many messages a worker takes at once from a Redis broker."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import solo
from celery.concurrency.base import BasePool

from celeriac.fleet.holder import most_at_once
from celeriac.pools import hybrid, prefork, threads
from celeriac.redis_transport import MOST_AT_ONCE


class _GreenPool(BasePool):  # type: ignore[misc]
    is_green = True


def _controller(pool: Any) -> Any:
    return SimpleNamespace(pool_cls=pool, app=Celery(set_as_current=False))


@pytest.mark.parametrize("pool", [prefork.TaskPool, threads.TaskPool, hybrid.TaskPool])
def test_pool_that_executes_beside_the_loop_takes_many_at_once(pool: Any) -> None:
    assert most_at_once(_controller(pool)) == MOST_AT_ONCE


@pytest.mark.parametrize("pool", [solo.TaskPool, _GreenPool])
def test_pool_that_executes_what_it_is_handed_takes_one_by_one(pool: Any) -> None:
    assert most_at_once(_controller(pool)) == 1


def test_worker_that_prefetches_nothing_takes_one_by_one() -> None:
    controller = _controller(threads.TaskPool)
    controller.app.conf.worker_disable_prefetch = True

    assert most_at_once(controller) == 1
