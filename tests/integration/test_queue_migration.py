"""`celeriac queues migrate` on RabbitMQ, while others go on publishing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amqp import Message
from amqp.exceptions import AMQPError
from kombu import Connection

from celeriac.runs import Runs
from celeriac.settings import load_settings
from eventually import eventually
from servers import RabbitMQServer, RedisServer

NAME = "celery_see"
PUBLISHERS = 2


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer, redis_server: RedisServer) -> Iterator[str]:
    redis_server.flush()
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.fixture
def runs(broker_url: str, redis_server: RedisServer) -> Runs:
    urls = {"broker_url": broker_url, "redis_url": redis_server.url}
    return Runs.of(load_settings(join_stack=False, **urls))


@contextmanager
def _channel(broker_url: str) -> Iterator[Any]:
    options = {"confirm_publish": True}
    with Connection(broker_url, transport_options=options) as connection:
        yield connection.channel()


def _declare_as_before(broker_url: str, kind: str) -> None:
    """Declare the queue as an earlier version might have."""
    with _channel(broker_url) as channel:
        channel.exchange_declare("celeriac", "topic", durable=True, auto_delete=False)
        arguments = {"x-queue-type": kind}
        channel.queue_declare(NAME, durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind(NAME, "celeriac", NAME)


class Publisher(threading.Thread):
    """Publishes all the time, and knows what the broker has confirmed."""

    def __init__(self, broker_url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.confirmed: list[str] = []
        self.refused: list[AMQPError] = []
        self._url, self._prefix, self._over = broker_url, name, threading.Event()

    def run(self) -> None:
        """Publish until told to stop."""
        with _channel(self._url) as channel:
            while not self._over.is_set():
                body = f"{self._prefix}{len(self.confirmed)}"
                message = Message(body, delivery_mode=2)
                try:
                    channel.basic_publish(message, "celeriac", NAME, mandatory=True)
                except AMQPError as error:
                    self.refused.append(error)
                    return
                self.confirmed.append(body)
                self._over.wait(0.01)

    def stop(self) -> None:
        """Stop, and wait for that."""
        self._over.set()
        self.join()


def _bodies(channel: Any, queue: str) -> list[str]:
    found = []
    while message := channel.basic_get(queue, no_ack=True):
        found.append(str(message.body))
    return found


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_migration_loses_nothing_that_is_confirmed_meanwhile(
    broker_url: str, runs: Runs, kind: str
) -> None:
    _declare_as_before(broker_url, kind)
    publishers = [Publisher(broker_url, f"{number}-") for number in range(PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    try:
        eventually(lambda: all(len(publisher.confirmed) > 10 for publisher in publishers))
        moved = dict(runs.queues.definitions.migrate())
        before = [len(publisher.confirmed) for publisher in publishers]
        eventually(
            lambda: all(
                len(publisher.confirmed) > had
                for publisher, had in zip(publishers, before, strict=True)
            )
        )
    finally:
        for publisher in publishers:
            publisher.stop()

    assert moved[NAME] >= 10 * PUBLISHERS
    assert not [error for publisher in publishers for error in publisher.refused]
    with _channel(broker_url) as channel:
        left = _bodies(channel, NAME)
    confirmed = {body for publisher in publishers for body in publisher.confirmed}
    assert confirmed <= set(left)


def test_migrated_queue_takes_what_becomes_due_before_a_worker_starts(
    rabbitmq_server: RabbitMQServer, broker_url: str, runs: Runs
) -> None:
    _declare_as_before(broker_url, "quorum")

    list(runs.queues.definitions.migrate())

    with _channel(broker_url) as channel:
        message = Message("due", delivery_mode=2)
        key = f"{'0.' * 27}1.{NAME}"
        channel.basic_publish(message, "celery_delayed_27", key, mandatory=True)
        assert eventually(lambda: _bodies(channel, NAME), deadline_s=20) == ["due"]


def test_migrated_message_does_not_expire_where_nobody_would_tell_of_it(
    broker_url: str, runs: Runs
) -> None:
    _declare_as_before(broker_url, "classic")
    with _channel(broker_url) as channel:
        headers = {"expires": "2100-01-01T00:00:00+00:00"}
        message = Message("m", expiration="3600000", application_headers=headers, priority=3)
        channel.basic_publish(message, "celeriac", NAME, mandatory=True)

        list(runs.queues.definitions.migrate())

        found = channel.basic_get(NAME, no_ack=True)
    assert "expiration" not in found.properties
    assert found.properties["application_headers"].items() >= headers.items()
    assert found.properties["priority"] == 3


def test_migration_that_stopped_half_way_goes_on(broker_url: str, runs: Runs) -> None:
    _declare_as_before(broker_url, "quorum")
    with _channel(broker_url) as channel:
        # As it is when the old queue is deleted and the new one is not there yet.
        channel.queue_delete(NAME)
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2_000_000_000}
        stand_in = f"{NAME}.moving"
        channel.queue_declare(stand_in, durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind(stand_in, "celeriac", NAME)
        channel.basic_publish(Message("kept", delivery_mode=2), "celeriac", NAME, mandatory=True)

        assert dict(runs.queues.definitions.migrate()) == {NAME: 1}

        assert _bodies(channel, NAME) == ["kept"]
    assert list(runs.queues.definitions.migrate()) == []
