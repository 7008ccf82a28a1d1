"""The lean transport on a real RabbitMQ, in the care of kombu's event loop."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection, Consumer, Producer, Queue
from kombu.asynchronous import Hub, set_event_loop

from celeriac.acknowledgements import pass_on
from eventually import eventually
from link import Link
from mail_server import Certificate, self_signed
from processes import LOOPBACK, free_port
from servers import RABBITMQ_FOLDERS, RabbitMQServer, missing

LEAN, STOCK = "celeriac.amqp_transport:Transport", "pyamqp"
LEAN_TLS = "celeriac.amqp_transport:SSLTransport"
DEAD = Queue("dead", queue_arguments={"x-queue-type": "quorum"})
QUEUE = Queue(
    "lean",
    queue_arguments={
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    },
)
FRAME_MAX = 131_072


class Looped(NamedTuple):
    """Somebody who consumes, and the loop that reads for them."""

    hub: Hub
    connection: Connection
    consumer: Consumer
    got: list[Any]

    def run_until(self, check: Callable[[], object]) -> None:
        """Let the loop turn until this is so.

        Raises:
            OSError: the connection is gone.
        """

        def turn() -> object:
            self.hub.run_once()
            return check()

        eventually(turn)

    def take(self, count: int) -> list[Any]:
        """Give as many messages as these, which are not settled."""
        self.run_until(lambda: len(self.got) >= count)
        taken, self.got[:] = self.got[:count], self.got[count:]
        return taken

    def acknowledge(self, messages: list[Any]) -> None:
        """Acknowledge as a worker does: in the loop's turn."""
        for message in messages:
            self.hub.call_soon(message.ack)
        self.run_until(lambda: all(message.acknowledged for message in messages))


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer) -> Iterator[str]:
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.fixture
def producer(broker_url: str) -> Iterator[Producer]:
    with Connection(broker_url, transport_options={"confirm_publish": True}) as connection:
        for queue in (QUEUE, DEAD):
            queue(connection.default_channel).declare()
        yield Producer(connection.default_channel, serializer="json", routing_key=QUEUE.name)


@pytest.fixture
def looped(broker_url: str, producer: Producer) -> Iterator[Looped]:
    with _looped(broker_url) as looped:
        yield looped


@contextmanager
def _looped(
    url: str, transport: str = LEAN, prefetch: int = 100, **options: Any
) -> Iterator[Looped]:
    """Consume in the care of a loop until the block ends."""
    hub, got = Hub(), list[Any]()
    set_event_loop(hub)
    with Connection(url, transport=transport, heartbeat=10, **options) as connection:
        consumer = Consumer(
            connection.default_channel, [QUEUE], on_message=got.append, accept=["json"]
        )
        consumer.qos(prefetch_count=prefetch)
        connection.register_with_event_loop(hub)
        consumer.consume()
        try:
            yield Looped(hub, connection, consumer, got)
        finally:
            connection.close()
            with suppress(*connection.connection_errors):  # The stock one would read once more.
                hub.close()
            hub.close()


def _waiting(producer: Producer, queue: Queue = QUEUE) -> int:
    """Give how many messages nobody has in hand."""
    declared: Any = queue(producer.channel).queue_declare(passive=True)
    return int(declared.message_count)


def _all(producer: Producer, queue: Queue = QUEUE) -> list[Any]:
    """Take all that wait in a queue."""
    bound = queue(producer.channel)
    found = []
    while (message := bound.get(no_ack=True)) is not None:
        found.append(message.payload)
    return found


def _seen(message: Any) -> dict[str, Any]:
    """Give what both transports should give, but for how often it was delivered."""
    for headers in (message.headers, message.properties["application_headers"]):
        headers.pop("x-delivery-count", None)
    names = ("headers", "properties", "body", "content_type", "content_encoding")
    where = {name: message.delivery_info[name] for name in ("exchange", "routing_key")}
    return {**where, **{name: getattr(message, name) for name in names}}


def _publish_unusual(producer: Producer) -> int:
    """Publish small and large messages, with little and much in their headers."""
    headers = {"task": "add", "retries": 0, "eta": None, "nested": {"a": [1, None, "x", True, 2.5]}}
    messages: list[tuple[Any, dict[str, Any]]] = [
        ({"n": 1}, {"headers": headers, "priority": 5, "correlation_id": "a", "reply_to": "b"}),
        ("x" * 3 * FRAME_MAX, {"headers": headers}),
        ({"n": 2}, {"headers": {"much": "y" * 60_000}, "expiration": 600}),
        ("", {"serializer": "raw", "content_type": "text/plain"}),
        ({"n": 3}, {"message_id": "m", "timestamp": 1_700_000_000, "type": "t", "app_id": "i"}),
        ("z" * (FRAME_MAX - 8), {"serializer": "raw", "content_type": "application/data"}),
        ("ü" * 10, {"serializer": "raw", "content_encoding": "latin-1"}),
        ({"n": 4}, {"compression": "zlib"}),
    ]
    for body, options in messages:
        producer.publish(body, **options)
    return len(messages)


def test_messages_are_those_that_the_stock_transport_gives(
    broker_url: str, producer: Producer
) -> None:
    count = _publish_unusual(producer)
    with _looped(broker_url, STOCK) as stock:
        expected = [_seen(message) for message in stock.take(count)]

    with _looped(broker_url) as looped:
        found = [_seen(message) for message in looped.take(count)]

    assert found == expected


def test_a_thousand_come_in_their_order_and_are_acknowledged(
    producer: Producer, looped: Looped
) -> None:
    for number in range(1000):
        producer.publish([number])

    found = []
    while len(found) < 1000:
        taken = looped.take(50)
        found += [message.payload[0] for message in taken]
        looped.acknowledge(taken)
    pass_on(looped.consumer.channel, QUEUE.name)
    looped.connection.close()

    assert found == list(range(1000))
    assert _waiting(producer) == 0


def test_what_is_not_acknowledged_comes_again(broker_url: str, producer: Producer) -> None:
    for number in range(20):
        producer.publish([number])
    with _looped(broker_url) as first:
        taken = first.take(20)
        first.acknowledge(taken[:5] + taken[7:12] + taken[19:])

    with _looped(broker_url) as second:
        again = second.take(9)

    assert [message.payload[0] for message in again] == [5, 6, *range(12, 19)]
    assert all(message.delivery_info["redelivered"] for message in again)


def test_rejected_is_dead_and_requeued_comes_again(producer: Producer, looped: Looped) -> None:
    for number in range(6):
        producer.publish([number])
    taken = looped.take(6)

    looped.hub.call_soon(taken[1].ack)
    taken[0].reject()
    taken[2].requeue()
    looped.acknowledge([*taken[4:]])
    (again,) = looped.take(1)
    looped.acknowledge([again, taken[3]])

    assert again.payload == [2]
    looped.connection.close()
    eventually(lambda: _all(producer, DEAD) == [[0]])
    assert _waiting(producer) == 0


def test_prefetch_holds_and_can_be_changed(producer: Producer, broker_url: str) -> None:
    for number in range(30):
        producer.publish([number])
    with _looped(broker_url, prefetch=3) as looped:
        first = looped.take(3)
        assert _waiting(producer) == 27
        looped.acknowledge(first)
        second = looped.take(3)
        looped.consumer.cancel()
        looped.consumer.qos(prefetch_count=20)
        looped.consumer.consume()

        third = looped.take(17)

    found = [message.payload[0] for message in (*first, *second, *third)]
    assert found == list(range(23))


def test_broken_connection_is_an_error_and_loses_nothing(
    rabbitmq_server: RabbitMQServer, broker_url: str, producer: Producer
) -> None:
    for number in range(50):
        producer.publish([number, "x" * 20_000])
    with Link(rabbitmq_server.port).open() as link:
        with _looped(link.url(broker_url)) as looped:
            taken = looped.take(10)
            looped.acknowledge(taken)
            link.hang_up()
            with pytest.raises(OSError, match=r"clos|reset"):
                _run_for_ever(looped.hub)

        # What was acknowledged just before may come again.
        with _looped(link.url(broker_url)) as looped:
            looped.run_until(lambda: _numbers(taken) | _numbers(looped.got) == set(range(50)))


def _numbers(messages: list[Any]) -> set[int]:
    return {message.payload[0] for message in messages}


def test_channel_that_rabbitmq_closes_is_an_error_and_consumes_on(
    producer: Producer, looped: Looped
) -> None:
    producer.publish([1])
    producer.publish([2])
    first, second = looped.take(2)
    looped.acknowledge([first])

    first.channel.basic_ack(first.delivery_tag)
    with pytest.raises(PreconditionFailed):
        _run_for_ever(looped.hub)
    looped.consumer.revive(looped.connection.default_channel)
    looped.consumer.consume()
    (again,) = looped.take(1)
    looped.acknowledge([again])
    looped.connection.close()

    assert again.payload == second.payload == [2]
    assert _waiting(producer) == 0


def _run_for_ever(hub: Hub) -> None:
    while True:
        hub.run_once()


def test_heartbeats_go_on_while_messages_keep_the_loop_busy(
    producer: Producer, looped: Looped
) -> None:
    ticks: list[int] = []
    looped.hub.call_repeatedly(0.02, lambda: ticks.append(len(looped.got)))
    looped.consumer.on_message = lambda message: (looped.got.append(message), _compute())
    for number in range(100):
        producer.publish([number])

    looped.run_until(lambda: len(looped.got) == 100)

    between = [tick for tick in ticks if 0 < tick < 100]
    assert len(between) >= 5


def _compute() -> None:
    sum(range(100_000))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[str]:
    """Run a RabbitMQ that speaks TLS, too."""
    folder, port = tmp_path_factory.mktemp("rabbitmq-tls"), free_port()
    found = [path for path in RABBITMQ_FOLDERS if (path / "rabbitmq-server").exists()]
    server = RabbitMQServer(found[0] if found else missing("RabbitMQ", "rabbitmq-server"), folder)
    with (folder / "rabbitmq.conf").open("a") as configuration:
        configuration.write(
            f"listeners.ssl.1 = {LOOPBACK}:{port}\n"
            f"ssl_options.certfile = {certificate.path}\n"
            f"ssl_options.keyfile = {certificate.key_path}\n"
            f"ssl_options.cacertfile = {certificate.path}\n"
        )
    try:
        server.start()
        yield f"amqps://guest:guest@{LOOPBACK}:{port}//"
    finally:
        server.close()


def test_tls_gives_the_same_messages(tls_url: str, certificate: Certificate) -> None:
    trust = {"ca_certs": str(certificate.path), "cert_reqs": ssl.CERT_REQUIRED}
    options: dict[str, Any] = {"ssl": {**trust, "server_hostname": LOOPBACK}}
    with Connection(tls_url, **options) as connection:
        QUEUE(connection.default_channel).declare()
        producer = Producer(connection.default_channel, serializer="json", routing_key=QUEUE.name)
        count = _publish_unusual(producer)
        for number in range(300):
            producer.publish([number])
        with _looped(tls_url, STOCK, **options) as stock:
            expected = [_seen(message) for message in stock.take(count)]

        with _looped(tls_url, LEAN_TLS, prefetch=400, **options) as looped:
            taken = looped.take(count + 300)
            looped.acknowledge(taken)
            pass_on(looped.consumer.channel, QUEUE.name)

        assert [_seen(message) for message in taken[:count]] == expected
        assert [message.payload[0] for message in taken[count:]] == list(range(300))
        assert _waiting(producer) == 0
