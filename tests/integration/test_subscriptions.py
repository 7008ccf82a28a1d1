"""Celery's own `get()` of our results: Redis is asked when somebody waits, and never before."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, group
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeriac.app import create_app
from celeriac.settings import load_settings
from eventually import eventually
from processes import free_port
from servers import RabbitMQServer, RedisServer, redis_server
from services import Services
from worker_process import running_worker

AT_ONCE_S = 5
"""Celery tries for 19 s to reach a Redis that is away."""


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer) -> Iterator[str]:
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def worked_for(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    """Give an app whose runs a worker executes."""
    with running_worker(tmp_path_factory.mktemp("worker"), *services):
        yield _app(*services)


def _app(broker_url: str, redis_url: str) -> Celery:
    return create_app(load_settings(join_stack=False, broker_url=broker_url, redis_url=redis_url))


def _group(app: Celery, *texts: str) -> Any:
    return group([app.tasks["text.reverse"].si(text) for text in texts], app=app)


def test_group_is_there_for_who_waits(worked_for: Celery) -> None:
    assert _group(worked_for, "ab", "cd").delay().get(timeout=30) == ["ba", "dc"]


def test_group_that_ended_before_is_there_for_who_waits(worked_for: Celery) -> None:
    result = _group(worked_for, "ab", "cd").delay()
    eventually(lambda: all(each.state == "SUCCESS" for each in _copies(result)), deadline_s=30)

    assert result.get(timeout=30) == ["ba", "dc"]


def test_who_waits_for_one_result_is_told_of_the_others(worked_for: Celery) -> None:
    told: list[str] = []
    awaited, other = (worked_for.tasks["text.reverse"].delay(text) for text in ("ab", "cd"))
    other.then(lambda result: told.append(result.result))
    eventually(lambda: _copies(other)[0].state == "SUCCESS", deadline_s=30)

    assert awaited.get(timeout=30) == "ba"
    assert told == ["dc"]


def test_group_is_published_while_redis_is_away(broker_url: str) -> None:
    app = _app(broker_url, f"redis://127.0.0.1:{free_port()}/0")
    with app.connection_for_write() as connection:
        connection.ensure_connection(timeout=10)

    begun_s = time.monotonic()
    _group(app, "ab", "cd").delay()

    assert time.monotonic() - begun_s < AT_ONCE_S


def test_result_of_no_interest_any_more_asks_nothing_of_redis(
    broker_url: str, redis: RedisServer
) -> None:
    app = _app(broker_url, redis.url)
    result = _group(app, "ab", "cd").delay()
    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.1)
    redis.kill()

    begun_s = time.monotonic()
    for each in result.results:
        each.__del__()  # As the garbage collector does it, in any thread.

    assert time.monotonic() - begun_s < AT_ONCE_S


def _copies(result: Any) -> list[Any]:
    """Look at results without a word of it to those that somebody has."""
    return [result.app.AsyncResult(each.id) for each in getattr(result, "results", [result])]
