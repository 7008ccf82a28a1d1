"""The callback of a chord is published, and once, whatever happens as its last part ends."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, states
from celery.app.task import Context

from celeriac.app import create_app
from celeriac.chords import DONE
from celeriac.settings import load_settings
from eventually import eventually
from servers import RabbitMQServer, RedisServer, redis_server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def app(redis: RedisServer, rabbitmq_server: RabbitMQServer) -> Iterator[Celery]:
    with rabbitmq_server.fresh_vhost() as broker_url:
        urls = {"broker_url": broker_url, "redis_url": redis.url}
        app = create_app(load_settings(join_stack=False, tasks="cancel_tasks", **urls))
        app.backend.set_chord_size("group", 2)
        app.backend.on_chord_part_return(_part(app, 0), states.SUCCESS, "from 0")
        yield app
        app.close()


def _part(app: Celery, index: int) -> Context:
    body = app.signature("cancel.gather", ("/nowhere",), task_id="body")
    return Context(id=f"part-{index}", group="group", group_index=index, chord=dict(body))


def _published(app: Celery) -> list[str]:
    """Take what waits in the queue, and give the runs."""
    with app.connection_for_read() as connection:
        queue: Any = app.amqp.queues["celery_see"].bind(connection.default_channel)
        queue.declare()
        taken = iter(lambda: queue.get(no_ack=True), None)
        return [message.headers["id"] for message in taken]


def test_chord_goes_on_when_redis_was_away_as_its_last_part_ended(
    app: Celery, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    last = threading.Thread(
        target=app.backend.on_chord_part_return, args=(_part(app, 1), states.SUCCESS, "from 1")
    )

    redis.stop()
    last.start()
    eventually(lambda: "Redis does not answer as it should" in caplog.text, deadline_s=20)
    redis.start()
    last.join(30)

    assert not last.is_alive()
    assert _published(app) == ["body"]


def test_chord_goes_on_whose_worker_died_as_it_was_to_publish_the_callback(
    app: Celery, redis: RedisServer
) -> None:
    claim = app.backend.get_key_for_group("group", ".c")
    with redis.client() as client:
        client.set(claim, "of the dead", px=1500)

        app.backend.on_chord_part_return(_part(app, 1), states.SUCCESS, "from 1")

        assert client.get(claim) == DONE
    assert _published(app) == ["body"]


def test_chord_that_was_seen_to_is_not_gone_on_with_again(app: Celery) -> None:
    for _ in range(2):
        app.backend.on_chord_part_return(_part(app, 1), states.SUCCESS, "from 1")

    assert _published(app) == ["body"]
