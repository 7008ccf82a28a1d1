"""A message tells its exchange and key, and people want to hear of its queue."""

from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Exchange, Queue, binding

from celeriac.delivery import queue_of

TOPIC = Exchange("topic", type="topic")


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("delivery", broker="memory://", set_as_current=False)
    app.conf.task_queues = [
        Queue("plain"),
        Queue("q1", Exchange("direct"), routing_key="tasks.slow"),
        Queue("q2", Exchange("other"), routing_key="tasks.slow"),
        Queue("mails", TOPIC, routing_key="mail.#"),
        Queue("first", TOPIC, routing_key="shop.*.first"),
        Queue("both", TOPIC, routing_key="shop.big.*"),
        Queue("many", bindings=[binding(TOPIC, "a.b"), binding(TOPIC, "c.d")]),
    ]
    yield app
    app.close()


@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        ("", "plain", "plain"),
        ("direct", "tasks.slow", "q1"),
        ("other", "tasks.slow", "q2"),
        ("topic", "mail", "mails"),
        ("topic", "mail.to.ann", "mails"),
        ("topic", "shop.small.first", "first"),
        ("topic", "c.d", "many"),
        # It went into two queues, and its worker cannot tell from which of them it comes.
        ("topic", "shop.big.first", "shop.big.first"),
        ("direct", "mail.to.ann", "mail.to.ann"),
        ("unknown", "nobody.knows", "nobody.knows"),
        (None, None, None),
    ],
)
def test_queue_of_a_message_is_the_one_that_its_key_reaches(
    app: Celery, exchange: str | None, key: str | None, queue: str | None
) -> None:
    assert queue_of(app, {"exchange": exchange, "routing_key": key}) == queue


def test_message_that_tells_nothing_has_no_queue(app: Celery) -> None:
    assert queue_of(app, None) is None
