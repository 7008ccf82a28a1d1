"""When a worker is suspected of being given nothing, and when it is not."""

from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.fleet.holding import RUN
from celeriac.fleet.watchdog import LOOKS, Intake, Suspicion, open_lanes


class Message:
    """One of RabbitMQ or, without a tag, of Redis."""

    def __init__(self, tag: str | None = None) -> None:
        self.delivery_info = {"consumer_tag": tag} if tag else {}
        self.acknowledged = False


class Consumer:
    """A consumer of Celery's, with what is looked at."""

    def __init__(self, broker_url: str = "amqp://", prefetch: int = 2, **tags: str) -> None:
        self.app = SimpleNamespace(conf=SimpleNamespace(broker_url=broker_url))
        self.task_consumer: Any = SimpleNamespace(_active_tags=tags)
        self.connection: Any = object()
        self.blueprint = SimpleNamespace(state=RUN)
        self.qos = SimpleNamespace(value=prefetch)
        self.prefetch_at_start = prefetch
        self.qos_global = False
        self.intake = Intake()

    def receive(self, *messages: Message) -> list[Message]:
        for message in messages:
            self.intake.note(message)
        return list(messages)


def test_worker_that_is_given_nothing_of_what_waits_is_suspected_after_some_looks() -> None:
    consumer, suspicion = Consumer(a="tag"), Suspicion()

    found = [suspicion.of(consumer, open_lanes(consumer)) for _ in range(2 * LOOKS)]

    quiet: list[set[str]] = [set()] * (LOOKS - 1)
    assert found == [*quiet, {"tag"}, *quiet, {"tag"}]


def test_worker_that_is_given_one_now_and_then_is_not_suspected() -> None:
    consumer, suspicion = Consumer(a="tag"), Suspicion()

    for _ in range(2 * LOOKS):
        for message in consumer.receive(Message("tag")):
            message.acknowledged = True
        assert suspicion.of(consumer, {"tag"}) == set()


def test_queue_that_is_empty_at_times_is_not_suspected() -> None:
    consumer, suspicion = Consumer(a="tag"), Suspicion()

    for look in range(3 * LOOKS):
        assert suspicion.of(consumer, {"tag"} if look % LOOKS else ()) == set()


def test_one_queue_that_stands_still_is_told_from_one_that_does_not() -> None:
    consumer, suspicion = Consumer(a="tag-a", b="tag-b"), Suspicion()

    for _ in range(LOOKS):
        consumer.receive(Message("tag-a"))
        found = suspicion.of(consumer, {"tag-a", "tag-b"})

    assert found == {"tag-b"}


def test_worker_that_holds_all_it_may_is_not_looked_at() -> None:
    consumer = Consumer(a="tag")

    held = consumer.receive(Message("tag"), Message("tag"))
    assert open_lanes(consumer) == {}

    held[0].acknowledged = True
    assert open_lanes(consumer) == {"tag": ["a"]}


def test_queues_that_share_one_limit_have_no_room_when_one_takes_it_all() -> None:
    consumer = Consumer(a="tag-a", b="tag-b")
    consumer.qos_global = True

    held = consumer.receive(Message("tag-a"), Message("tag-a"))
    assert open_lanes(consumer) == {}

    held[0].acknowledged = True
    assert open_lanes(consumer) == {"tag-a": ["a"], "tag-b": ["b"]}


def test_message_that_nobody_here_knows_of_any_more_takes_no_room() -> None:
    consumer = Consumer(a="tag")

    consumer.receive(Message("tag"), Message("tag"))  # Nothing refers to them.

    assert open_lanes(consumer) == {"tag": ["a"]}


def test_pool_that_has_grown_holds_what_the_broker_has_been_told() -> None:
    consumer = Consumer(a="tag")

    held = consumer.receive(Message("tag"), Message("tag"))
    consumer.qos.value = 8

    assert (open_lanes(consumer), len(held)) == ({}, 2)


def test_queues_of_a_redis_are_one_lane() -> None:
    consumer = Consumer("redis://", a="1", b="2")

    assert open_lanes(consumer) == {"": ["a", "b"]}
    held = consumer.receive(Message(), Message())
    assert (open_lanes(consumer), len(held)) == ({}, 2)


@pytest.mark.parametrize("what", ["connection", "task_consumer"])
def test_worker_that_is_not_connected_is_not_looked_at(what: str) -> None:
    consumer = Consumer(a="tag")

    setattr(consumer, what, None)

    assert open_lanes(consumer) == {}


def test_worker_that_stops_or_has_paused_its_queues_is_not_looked_at() -> None:
    stopping, paused = Consumer(a="tag"), Consumer()

    stopping.blueprint.state = RUN + 1

    assert (open_lanes(stopping), open_lanes(paused)) == ({}, {})
