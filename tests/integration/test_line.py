"""One connection for all that is submitted to RabbitMQ: nothing lost, nobody waits for others."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from amqp import Connection
from celery import Celery, group
from kombu import Queue, pools

from celeriac.errors import BrokerUnavailableError, CeleriacError, RefusedError, UnconfirmedError
from celeriac.line_producer import publish_by_line
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from link import Link
from servers import RabbitMQServer, RedisServer
from servers import rabbitmq_server as own_rabbitmq

QUEUE, OTHER = "celery_see", "other"
TOGETHER = 16


@pytest.fixture
def vhost(rabbitmq_server: RabbitMQServer, redis_server: RedisServer) -> Iterator[str]:
    redis_server.flush()
    with rabbitmq_server.fresh_vhost() as address:
        yield address


@pytest.fixture
def link(rabbitmq_server: RabbitMQServer) -> Iterator[Link]:
    with Link(rabbitmq_server.port).open() as link:
        yield link


def _runs(broker_url: str, redis: RedisServer, **more: Any) -> Runs:
    settings = load_settings(
        join_stack=False, broker_url=broker_url, redis_url=redis.url, queues=OTHER, **more
    )
    return Runs.of(settings)


def _submit(runs: Runs, **options: Any) -> str:
    return runs.submit("text.reverse", {"text": "ab"}, SubmitOptions(**options)).id


class Submitters:
    """Submit from many threads; know what was accepted, and what was said otherwise."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.accepted: list[str] = []
        self.errors: list[CeleriacError] = []

    def submit(self, count: int) -> None:
        """Return when each was accepted or refused."""
        with ThreadPoolExecutor(TOGETHER) as threads:
            list(threads.map(lambda _: self._submit(), range(count)))

    def _submit(self) -> None:
        try:
            self.accepted.append(_submit(self._runs))
        except CeleriacError as error:
            self.errors.append(error)


def _messages(address: str, queue: str = QUEUE) -> Counter[str]:
    """Take all that waits in a queue, and count the messages of each run."""
    found: Counter[str] = Counter()
    place, _, vhost = address.removeprefix("amqp://guest:guest@").partition("/")
    with Connection(place, virtual_host=vhost or "/") as connection:
        channel: Any = connection.channel()
        while message := channel.basic_get(queue, no_ack=True):
            found[message.headers["id"]] += 1
    return found


def _connections(server: RabbitMQServer, address: str) -> int:
    name = address.rpartition("/")[2]
    listed = server.rabbitmqctl("list_connections", "vhost")
    return listed.split().count(name)


def test_many_at_once_share_one_connection(
    vhost: str, rabbitmq_server: RabbitMQServer, redis_server: RedisServer
) -> None:
    many = Submitters(_runs(vhost, redis_server))

    many.submit(400)

    assert (len(many.accepted), many.errors) == (400, [])
    assert _connections(rabbitmq_server, vhost) <= 2  # One declares, and one publishes.
    assert _messages(vhost) == Counter(many.accepted)


def test_what_was_open_on_a_connection_that_broke_goes_over_the_next(
    vhost: str, link: Link, redis_server: RedisServer
) -> None:
    many = Submitters(_runs(link.url(vhost), redis_server))
    many.submit(1)
    link.delay_s = 0.05

    with ThreadPoolExecutor(1) as aside:
        submitting = aside.submit(many.submit, 400)
        for enough in (50, 150, 250):
            eventually(partial(_is_reached, many, enough), deadline_s=60)
            link.hang_up()
        submitting.result()

    unsure = {error.run_id for error in many.errors if isinstance(error, UnconfirmedError)}
    found = set(_messages(vhost))
    assert len(many.accepted) + len(many.errors) == 401
    assert len(many.accepted) > 350, many.errors
    assert set(many.accepted) <= found <= {*many.accepted, *unsure}


def _is_reached(many: Submitters, enough: int) -> bool:
    return len(many.accepted) >= enough


def test_idle_connection_that_was_closed_meanwhile_costs_nothing(
    vhost: str, link: Link, redis_server: RedisServer
) -> None:
    runs = _runs(link.url(vhost), redis_server)
    first = _submit(runs)

    link.hang_up()
    second = _submit(runs)

    assert _messages(vhost) == Counter([first, second])


def test_half_open_connection_is_given_up_and_the_next_submission_gets_through(
    vhost: str, link: Link, redis_server: RedisServer
) -> None:
    runs = _runs(link.url(vhost), redis_server)
    _submit(runs)

    link.abandon()
    with pytest.raises(UnconfirmedError):
        _submit(runs)

    assert _submit(runs) in _messages(vhost)


def test_queue_that_answers_nobody_delays_no_other(
    vhost: str, rabbitmq_server: RabbitMQServer, redis_server: RedisServer
) -> None:
    runs = _runs(vhost, redis_server)
    _submit(runs), _submit(runs, queue=OTHER)
    rabbitmq_server.pause_queue(vhost, QUEUE, for_s=8)

    with ThreadPoolExecutor(1) as aside:
        stuck = aside.submit(_submit, runs)
        began_s = time.monotonic()
        for _ in range(20):
            _submit(runs, queue=OTHER)
        took_s = time.monotonic() - began_s
        assert isinstance(stuck.exception(), UnconfirmedError)

    assert took_s < 1.4  # Less than who is stuck waits for.
    run_id = getattr(stuck.exception(), "run_id", "")
    eventually(lambda: run_id in _messages(vhost), deadline_s=30)


def test_full_queue_refuses_what_is_too_much_and_that_alone(
    vhost: str, rabbitmq_server: RabbitMQServer, redis_server: RedisServer
) -> None:
    runs = _runs(vhost, redis_server)
    _submit(runs, queue=OTHER)
    _limit(rabbitmq_server, vhost, 5)

    outcomes = [_outcome(lambda: _submit(runs)) for _ in range(30)]

    assert {type(each) for each in outcomes} == {str, RefusedError}
    accepted = [each for each in outcomes if isinstance(each, str)]
    assert _messages(vhost) == Counter(accepted)
    assert _submit(runs, queue=OTHER)


def _outcome(call: Callable[[], str]) -> str | CeleriacError:
    try:
        return call()
    except CeleriacError as error:
        return error


def _limit(server: RabbitMQServer, address: str, messages: int) -> None:
    """Let the queue hold no more than so many."""
    policy = {"pattern": f"^{QUEUE}$", "apply-to": "queues", "definition": {"max-length": messages}}
    server.api("PUT", f"policies/{address.rpartition('/')[2]}/full", policy)


def test_queue_that_somebody_deletes_is_made_again(vhost: str, redis_server: RedisServer) -> None:
    runs = _runs(vhost, redis_server)
    _submit(runs)
    place, _, name = vhost.removeprefix("amqp://guest:guest@").partition("/")
    with Connection(place, virtual_host=name) as connection:
        connection.channel().queue_delete(QUEUE)

    again = _submit(runs)

    assert _messages(vhost) == Counter([again])


def test_alarm_is_waited_for_and_then_nothing_is_sent(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with own_rabbitmq(tmp_path) as rabbitmq, rabbitmq.fresh_vhost() as address:
        runs = _runs(address, redis_server)
        before = [_submit(runs)]
        rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0")
        first = _outcome(lambda: _submit(runs))
        second = _outcome(lambda: _submit(runs))
        rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
        after = eventually(lambda: _accepted(runs), deadline_s=30)

        assert isinstance(first, UnconfirmedError)
        assert type(second) is BrokerUnavailableError  # So that it is safe to send it again.
        found = _messages(address)
        assert {*before, after} <= set(found) <= {*before, after, first.run_id}


def _accepted(runs: Runs) -> str | None:
    found = _outcome(lambda: _submit(runs))
    return found if isinstance(found, str) else None


def test_any_client_publishes_over_one_connection(
    vhost: str, link: Link, rabbitmq_server: RabbitMQServer
) -> None:
    app = Celery("shop", broker=link.url(vhost), set_as_current=False)
    app.conf.task_queues = [Queue("shop", queue_arguments={"x-queue-type": "quorum"})]
    app.conf.update(task_default_queue="shop", task_send_sent_event=True)
    app.conf.broker_pool_limit = pools.get_limit()  # All apps of a process have the same.
    publish_by_line(app)
    order: Any = app.task(_order, name="shop.order")

    with ThreadPoolExecutor(TOGETHER) as threads:
        first = [each.id for each in threads.map(lambda n: order.delay(n), range(100))]
    link.hang_up()
    group_ids = [each.id for each in group(order.s(n) for n in range(5)).apply_async()]

    assert _connections(rabbitmq_server, vhost) <= 2  # One declares, and one publishes.
    assert _messages(vhost, "shop") == Counter([*first, *group_ids])


def _order(number: int) -> None:
    """Do nothing."""
