"""RabbitMQ at the end of a slow link: a submission still takes a bounded time."""

import time
from collections.abc import Iterator

import pytest

from celeriac.errors import BrokerUnavailableError
from celeriac.runs import Runs, SubmitOptions, rabbitmq_publisher
from celeriac.settings import load_settings
from link import Link
from servers import RabbitMQServer, RedisServer

LATER = SubmitOptions(countdown=3600)


@pytest.fixture
def link(rabbitmq_server: RabbitMQServer) -> Iterator[Link]:
    with Link(rabbitmq_server.port).open() as link:
        yield link


@pytest.fixture
def runs(rabbitmq_server: RabbitMQServer, redis_server: RedisServer, link: Link) -> Iterator[Runs]:
    redis_server.flush()
    with rabbitmq_server.fresh_vhost() as broker_url:
        yield Runs.of(
            load_settings(
                join_stack=False, broker_url=link.url(broker_url), redis_url=redis_server.url
            )
        )


def test_first_run_with_a_countdown_is_accepted_over_a_slow_link(runs: Runs, link: Link) -> None:
    link.delay_s = 0.1

    run = runs.submit("text.reverse", {"text": "ab"}, LATER)

    assert runs.get(run.id).eta


def test_answers_that_each_come_in_time_take_no_longer_than_all_of_them_may(
    runs: Runs, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_publisher, "PUBLISHES_WITHIN_S", 1.0)
    link.delay_s = 0.4
    started_s = time.monotonic()

    with pytest.raises(BrokerUnavailableError):
        runs.submit("text.reverse", {"text": "ab"}, LATER)

    assert time.monotonic() - started_s < 5
