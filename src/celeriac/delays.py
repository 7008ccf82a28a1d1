"""Where runs wait on RabbitMQ that are not to start yet: the queues of native delayed delivery.

A worker declares them when it starts, but a run may be sent before there was any. Then RabbitMQ
would refuse it, or have no way to give it back to its queue. So who sends one declares them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import celery.app.base
from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection, Queue
from kombu.transport import native_delayed_delivery as delays

from celeriac.queues import DELAY_BITS, DELAYED, is_ours, lanes_of, queue_by_key

DECLARES_WITHIN_S = 30.0
"""How long RabbitMQ may take to make what runs wait in, some thirty quorum queues."""
_POLICY = ("max_retries", "interval_start", "interval_step", "interval_max")


class Delays:
    """Declares for each lane once in a process."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def prepare(self, connection: Connection, lanes: Iterable[Queue]) -> None:
        """Declare what these lanes need, unless that was done before."""
        unknown = [lane for lane in lanes if lane.name not in self._known]
        if not unknown:
            return
        with _at_once(connection) as hurried:
            for lane in unknown:
                lane.bind(hurried.channel()).declare()
            _bind_to_delays(hurried, unknown)
        self._known.update(lane.name for lane in unknown)

    def forget(self) -> None:
        """Declare anew from now on: the broker may have lost it."""
        self._known.clear()


def delay_ours(app: Celery) -> Delays:
    """Have an app declare what a delayed message needs before it sends one."""
    # kombu knows no delay of zero whole seconds, and raises; the worker waits for the fraction.
    setattr(celery.app.base, "calculate_routing_key", _delayed_key)  # noqa: B010
    amqp: Any = app.amqp
    known, create = Delays(), amqp._create_task_sender

    def create_sender() -> Any:
        send = create()

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            exchange = getattr(options.get("exchange"), "name", None)
            if not (exchange or "").startswith(DELAYED):
                return send(producer, name, message, **options)
            _prepare(app, known, producer.connection, options)
            try:
                return send(producer, name, message, **options)
            except NotFound:
                known.forget()
                raise

        return send_task_message

    amqp._create_task_sender, amqp.delays = create_sender, known
    return known


def _prepare(app: Celery, known: Delays, connection: Any, options: dict[str, Any]) -> None:
    key, exchange = options["routing_key"], options["exchange"].name
    name = queue_by_key({"exchange": exchange, "routing_key": key})
    queues = app.amqp.queues
    if name is None or not is_ours(queues[name]):
        return
    if options.get("retry") is not False:
        policy = app.conf.task_publish_retry_policy
        connection.ensure_connection(**{each: policy[each] for each in _POLICY if each in policy})
    known.prepare(connection, lanes_of(queues, name))


def bind_to_delays(connection: Connection, queue: Queue, kind: str = "quorum") -> None:
    """Have a queue get back what waited for its time, in queues of this type."""
    with _at_once(connection) as hurried:
        _bind_to_delays(hurried, [queue], kind)


class _Hurried(NamedTuple):
    """Passes for a connection where something is declared."""

    channel: Callable[[], Any]


class _HurriedChannel:
    """A channel that declares something and does not wait for the answer."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._channel, name)
        return partial(_without_answer, found) if name.endswith(("_declare", "_bind")) else found


def _without_answer(declare: Callable[..., Any], **what: Any) -> Any:
    return declare(**{**what, "nowait": True})


@contextmanager
def _at_once(connection: Connection) -> Iterator[Any]:
    """Declare in the block, and wait once, at its end, instead of two hundred times.

    Raises:
        amqp.AMQPError: the broker refuses something, and did nothing of what came after that.
    """
    with connection.channel() as channel:
        yield _Hurried(lambda: _HurriedChannel(channel))
        with channel.connection.transport.having_timeout(DECLARES_WITHIN_S):
            channel.exchange_declare(delays.CELERY_DELAYED_DELIVERY_EXCHANGE, "topic", passive=True)


def _bind_to_delays(hurried: Any, queues: Iterable[Queue], kind: str = "quorum") -> None:
    delays.declare_native_delayed_delivery_exchanges_and_queues(hurried, kind)
    for queue in queues:
        delays.bind_queue_to_native_delayed_delivery_exchange(hurried, queue)


def _delayed_key(countdown: int, routing_key: str) -> str:
    key = str(delays.calculate_routing_key(max(countdown, 1), routing_key))
    return key if countdown >= 1 else "0." * DELAY_BITS + key[2 * DELAY_BITS :]
