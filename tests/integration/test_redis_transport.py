"""Messages on a Redis broker, when whoever takes them is killed before it can say so."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from redis import ConnectionError as RedisConnectionError

from celeriac import redis_qos, redis_transport, silence, unacked
from celeriac.silence import Silence
from celeriac.unacked import Spoken, Unacked
from eventually import eventually
from servers import RedisServer

QUEUE = Queue("q", Exchange("q"), "q")
BY_TOPIC = Queue("slow", Exchange("shop", "topic"), "tasks.#")


@pytest.fixture(autouse=True)
def safe_transport() -> None:
    redis_transport.use_safe_transport()


@pytest.fixture
def client(valkey_server: RedisServer) -> Iterator[Any]:
    valkey_server.flush()
    with valkey_server.client() as client:
        yield client


@pytest.fixture
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_qos, "IN_TRANSIT_S", 0)
    monkeypatch.setattr(redis_qos, "SWEEP_EVERY_S", 0)


@contextmanager
def _connected(server: RedisServer, holder: str, **more: Any) -> Iterator[Connection]:
    options: dict[str, Any] = {**unacked.transport_options(holder), **more}
    with Connection(server.url, transport_options=options) as connection:
        yield connection


def _publish(
    connection: Connection, body: Any, queue: Queue = QUEUE, routing_key: str = "q"
) -> None:
    producer = connection.Producer()
    producer.publish(body, routing_key=routing_key, exchange=queue.exchange, declare=[queue])


def _received(connection: Connection, wanted: int = 1, queue: Queue = QUEUE) -> list[Any]:
    """Take messages and acknowledge none."""
    return [message.payload for message in _taken(connection, wanted, queue)]


def _taken(connection: Connection, wanted: int = 1, queue: Queue = QUEUE) -> list[Any]:
    messages: list[Any] = []
    with Consumer(connection, [queue], on_message=messages.append, accept=["json"]):
        while len(messages) < wanted:
            connection.drain_events(timeout=10)
    return messages


def _ask_for_a_message(connection: Connection) -> Any:
    """Ask as a worker that waits does; nobody reads the answer."""
    channel: Any = connection.default_channel
    channel.basic_consume("q", no_ack=False, callback=print, consumer_tag="c")
    channel.client.connection = channel.client.connection_pool.get_connection()
    channel._brpop_start()
    return channel


def _die(channel: Any) -> None:
    """End the connection as the death of its process would."""
    channel.client.connection.disconnect()
    channel._in_poll = None


def _look(client: Any, holder: str, times: int) -> None:
    watch = Silence(holder)
    for _ in range(times):
        watch.look(Unacked(client))


@pytest.fixture
def held(valkey_server: RedisServer, client: Any) -> Iterator[str]:
    """Give the key of what a holder has that lives: one message."""
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        assert connection.default_channel.basic_get("q")
        yield "unacked:one@here/1"


def test_message_is_unacknowledged_from_the_moment_it_is_taken(
    valkey_server: RedisServer, client: Any
) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        channel = _ask_for_a_message(connection)

        # The answer is on its way, and nobody reads it.
        eventually(lambda: client.hlen("unacked:one@here/1") == 1)
        assert client.llen("q") == 0
        _die(channel)


@pytest.mark.usefixtures("in_no_time")
@pytest.mark.parametrize("prefix", ["", "team-"])
def test_message_that_never_arrived_is_given_again(
    valkey_server: RedisServer, client: Any, prefix: str
) -> None:
    with _connected(valkey_server, "one@here/1", global_keyprefix=prefix) as connection:
        _publish(connection, {"n": 1})
        channel = _ask_for_a_message(connection)
        eventually(lambda: client.hlen(f"{prefix}unacked:one@here/1") == 1)
        _die(channel)
        channel.basic_cancel("c")

        assert _received(connection) == [{"n": 1}]


@pytest.mark.parametrize(
    ("successor", "looks"),
    [("one@here/2", silence.LOOKS_OF_SUCCESSOR), ("two@there/1", silence.LOOKS)],
)
def test_message_goes_back_to_its_queue_whatever_exchange_it_came_by(
    valkey_server: RedisServer, client: Any, successor: str, looks: int
) -> None:
    # Nobody has declared the exchange to who puts it back: it was an exchange of that worker.
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1}, BY_TOPIC, "tasks.slow")
        message = connection.default_channel.basic_get("slow")
        assert message and client.llen("slow") == 0

        _look(client, successor, looks)

        assert client.llen("slow") == 1
        assert client.hlen("unacked:one@here/1") == 0
        assert client.zscore(unacked.HOLDERS, "one@here/1") is None


def test_message_that_is_given_again_says_so(valkey_server: RedisServer, client: Any) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        connection.default_channel.basic_get("q").requeue()

        again = _taken(connection)[0]

        assert again.delivery_info["redelivered"] is True
        assert again.payload == {"n": 1}


def test_worker_that_speaks_keeps_its_messages_from_one_of_its_name(client: Any, held: str) -> None:
    watch = Silence("one@here/2")

    for _ in range(3 * silence.LOOKS_OF_SUCCESSOR):
        Unacked(client).say_alive("one@here/1")
        watch.look(Unacked(client))

    assert client.hlen(held) == 1


def test_worker_keeps_its_messages_whatever_the_clock_says(client: Any, held: str) -> None:
    client.zadd(unacked.HOLDERS, {"one@here/1": 0})

    _look(client, "one@here/1", 2 * silence.LOOKS)
    _look(client, "two@here/1", 1)

    assert client.hlen(held) == 1


def test_worker_that_speaks_just_in_time_keeps_its_messages(client: Any, held: str) -> None:
    silent = Unacked(client).holders()[0]
    Unacked(client).say_alive("one@here/1")

    assert Unacked(client).take_from(silent) == 0
    assert client.hlen(held) == 1


def test_worker_is_not_silent_for_having_a_server_that_was_away(
    valkey_server: RedisServer, client: Any, held: str
) -> None:
    watch = Silence("one@here/2")
    for _ in range(silence.LOOKS_OF_SUCCESSOR - 1):
        watch.look(Unacked(client))
    valkey_server.stop()
    with pytest.raises(RedisConnectionError):
        watch.look(Unacked(client))
    valkey_server.start()

    watch.look(Unacked(client))

    assert client.hlen(held) == 1


def test_worker_that_ended_well_is_nobodys_concern(valkey_server: RedisServer, client: Any) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        assert connection.default_channel.basic_get("q")
        assert [spoken.holder for spoken in Unacked(client).holders()] == ["one@here/1"]

    assert client.llen("q") == 1
    assert Unacked(client).holders() == []


@pytest.mark.usefixtures("in_no_time")
def test_acknowledgement_that_fails_is_sent_later(valkey_server: RedisServer, client: Any) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        message = connection.default_channel.basic_get("q")
        valkey_server.stop()
        message.ack()
        valkey_server.start()
        assert client.hlen("unacked:one@here/1") == 1

        connection.default_channel.qos.sweep()

        assert client.hlen("unacked:one@here/1") == 0
        assert client.llen("q") == 0


@pytest.mark.usefixtures("in_no_time")
@pytest.mark.parametrize("how", ["close", "requeue"])
def test_message_that_cannot_be_given_back_is_given_back_later(
    valkey_server: RedisServer, client: Any, how: str
) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        channel: Any = connection.channel()
        message = channel.basic_get("q")
        valkey_server.stop()
        if how == "close":
            # kombu takes the connection from its parts before it closes them.
            channel.close()
        else:
            message.requeue()
        valkey_server.start()
        assert client.hlen("unacked:one@here/1") == 1

        assert _received(connection) == [{"n": 1}]


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"[]",
        b"{}",
        b'{"properties": {"delivery_tag": 7}}',
        b'{"properties": {"delivery_tag": "t", "body_encoding": "base64"}, "body": "x"}',
        b'{"properties": {"delivery_tag": "t"}, "body": "\xff"}',
    ],
)
def test_what_is_no_message_is_put_aside(
    valkey_server: RedisServer, client: Any, garbage: bytes
) -> None:
    client.lpush("q", garbage)
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})

        assert _received(connection) == [{"n": 1}]

        assert client.lrange(unacked.UNREADABLE, 0, -1) == [garbage]
        assert client.hlen("unacked:one@here/1") == 1


def test_broken_message_that_a_worker_left_is_put_aside(client: Any) -> None:
    client.hset("unacked:one@here/1", mapping={"t": b"[\xff", "u": _entry({"n": 1})})
    client.zadd("unacked_index:one@here/1", {"t": 1, "u": 2})
    client.zadd(unacked.HOLDERS, {"one@here/1": 1})

    assert Unacked(client).take_from(Spoken("one@here/1", 1)) == 1

    assert client.lrange(unacked.UNREADABLE, 0, -1) == [b"[\xff"]
    assert client.llen("q") == 1


def _entry(body: Mapping[str, Any]) -> str:
    text = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps([{"body": text, "properties": {"delivery_info": {}}}, "q"])


def test_messages_are_taken_though_the_server_forgets_the_script(
    valkey_server: RedisServer, client: Any
) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        _publish(connection, {"n": 1})
        assert _received(connection) == [{"n": 1}]
        client.script_flush()
        _publish(connection, {"n": 2})

        assert _received(connection) == [{"n": 2}]


def test_higher_priority_is_taken_first(valkey_server: RedisServer, client: Any) -> None:
    with _connected(valkey_server, "one@here/1") as connection:
        for priority in (9, 0, 3):
            connection.Producer().publish(
                priority, routing_key="q", exchange=QUEUE.exchange, declare=[QUEUE],
                priority=priority,
            )  # fmt: skip

        assert _received(connection, 3) == [0, 3, 9]


@contextmanager
def _consuming(
    server: RedisServer, messages: list[Any], most: int = 32, prefetch: int = 0
) -> Iterator[Connection]:
    """Take many at once, as a worker does."""
    with _connected(server, "one@here/1", most_at_once=most) as connection:
        connection.default_channel.basic_qos(0, prefetch, False)
        with Consumer(connection, [QUEUE], on_message=messages.append, accept=["json"]):
            yield connection


def _publish_numbers(server: RedisServer, count: int) -> None:
    with Connection(server.url) as connection:
        for number in range(count):
            _publish(connection, number)


def test_few_are_taken_at_first_and_more_while_there_are_enough(
    valkey_server: RedisServer, client: Any
) -> None:
    _publish_numbers(valkey_server, 20)
    messages: list[Any] = []
    with _consuming(valkey_server, messages, most=4) as connection:
        counts = []
        for _ in range(5):
            connection.drain_events(timeout=10)
            counts.append(len(messages))

        assert counts == [1, 3, 7, 11, 15]
        assert [message.payload for message in messages] == list(range(15))
        assert client.hlen("unacked:one@here/1") == 15


def test_no_more_are_taken_than_may_be_held(valkey_server: RedisServer, client: Any) -> None:
    _publish_numbers(valkey_server, 20)
    messages: list[Any] = []
    with _consuming(valkey_server, messages, prefetch=5) as connection:
        for _ in range(3):
            connection.drain_events(timeout=10)
        assert client.hlen("unacked:one@here/1") == 5

        messages[0].ack()
        messages[1].ack()
        connection.drain_events(timeout=10)

    assert [message.payload for message in messages] == list(range(7))


def test_many_that_go_back_are_taken_in_the_same_order_again(
    valkey_server: RedisServer, client: Any
) -> None:
    _publish_numbers(valkey_server, 12)
    messages: list[Any] = []
    with _consuming(valkey_server, messages) as connection:
        while len(messages) < 7:
            connection.drain_events(timeout=10)
    assert client.llen("q") == 12

    with _connected(valkey_server, "one@here/2") as connection:
        assert _received(connection, 12) == list(range(12))


def test_many_are_taken_by_priority(valkey_server: RedisServer, client: Any) -> None:
    with Connection(valkey_server.url) as connection:
        for priority in (9, 6, 3, 0, 9, 6, 3, 0):
            connection.Producer().publish(
                priority, routing_key="q", exchange=QUEUE.exchange, declare=[QUEUE],
                priority=priority,
            )  # fmt: skip
    messages: list[Any] = []
    with _consuming(valkey_server, messages) as connection:
        while len(messages) < 8:
            connection.drain_events(timeout=10)

    assert [message.payload for message in messages] == [0, 0, 3, 3, 6, 6, 9, 9]


def test_what_came_with_a_message_that_cannot_be_handed_on_goes_back(
    valkey_server: RedisServer, client: Any
) -> None:
    _publish_numbers(valkey_server, 8)
    seen: list[Any] = []

    def fail_at_the_fourth(message: Any) -> None:
        seen.append(message.payload)
        if message.payload == 3:
            raise RuntimeError

    with (
        _connected(valkey_server, "one@here/1", most_at_once=32) as connection,
        Consumer(connection, [QUEUE], on_message=fail_at_the_fourth, accept=["json"]),
    ):
        with pytest.raises(RuntimeError):
            for _ in range(3):
                connection.drain_events(timeout=10)

        # The first three and the one that failed are still held: 4, 5 and 6 came with it.
        assert seen == [0, 1, 2, 3]
        assert client.hlen("unacked:one@here/1") == 4
        assert client.llen("q") == 4


def test_what_is_no_message_keeps_none_that_came_with_it(
    valkey_server: RedisServer, client: Any
) -> None:
    _publish_numbers(valkey_server, 2)
    client.lpush("q", b"garbage")
    client.lpush(
        "q", b'{"properties": {"delivery_tag": "t", "body_encoding": "base64"}, "body": "x"}'
    )
    with Connection(valkey_server.url) as connection:
        _publish(connection, 2)
    messages: list[Any] = []
    with _consuming(valkey_server, messages) as connection:
        while len(messages) < 3:
            connection.drain_events(timeout=10)

        assert [message.payload for message in messages] == [0, 1, 2]
        assert client.llen(unacked.UNREADABLE) == 2
        assert client.hlen("unacked:one@here/1") == 3


def test_many_are_acknowledged_in_one_exchange(valkey_server: RedisServer, client: Any) -> None:
    _publish_numbers(valkey_server, 3)
    messages: list[Any] = []
    with _consuming(valkey_server, messages) as connection:
        while len(messages) < 3:
            connection.drain_events(timeout=10)
        with redis_qos.acknowledging_together():
            for message in messages:
                message.ack()
            assert client.hlen("unacked:one@here/1") == 3

        assert client.hlen("unacked:one@here/1") == 0
    assert client.llen("q") == 0


def test_queues_that_have_turns_are_taken_from_in_turn(
    valkey_server: RedisServer, client: Any
) -> None:
    other = Queue("other", Exchange("other"), "other")
    messages: list[Any] = []
    with _consuming(valkey_server, messages) as connection:
        for queue in (QUEUE, QUEUE, other, other):
            _publish(connection, [queue.name], queue, queue.routing_key)
        with Consumer(connection, [other], on_message=messages.append, accept=["json"]):
            while len(messages) < 4:
                connection.drain_events(timeout=10)

    assert [message.payload for message in messages] in (
        [["q"], ["other"]] * 2,
        [["other"], ["q"]] * 2,
    )
