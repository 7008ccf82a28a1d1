"""Acknowledgements of a turn go together, and none that was not asked for."""

import threading
from collections.abc import Iterator
from struct import pack, unpack
from typing import Any

import pytest
from amqp.exceptions import ChannelError, RecoverableConnectionError
from amqp.serialization import dumps
from amqp.spec import Basic, Channel
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st

from amqp_streams import TAG, Loop, Reader, delivery, frame, lean_reader
from celeriac import amqp_acks
from celeriac.amqp_acks import Acks, frames_of

ONE, TWO = (1, False), (2, False)


class Broker:
    """Settles as RabbitMQ does."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.acked: list[int] = []

    def take(self, acks: list[tuple[int, bool]]) -> None:
        for tag, is_multiple in acks:
            assert tag in self.open, "RabbitMQ would close the channel"
            settled = [each for each in self.open if each == tag or (is_multiple and each < tag)]
            self.acked += settled
            self.open = [each for each in self.open if each not in settled]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["deliver", "deliver", "ack", "ack", "reject", "direct", "flush"]),
            st.integers(0, 20),
        ),
        max_size=60,
    )
)
def test_what_was_asked_for_is_acknowledged_and_nothing_else(steps: list[tuple[str, int]]) -> None:
    broker, acks, asked, tag = Broker(), Acks(), set[int](), 0
    for step, number in steps:
        held = [each for each in broker.open if each not in asked]
        if step == "deliver":
            tag += 1
            broker.open.append(tag)
            acks.deliver(tag)
        elif step == "flush":
            broker.take(acks.take())
            assert set(broker.acked) == asked
        elif held and step == "ack":
            asked.add(held[number % len(held)])
            acks.add(held[number % len(held)])
        elif held:
            broker.take(acks.take())
            broker.open.remove(held[number % len(held)])
            acks.settle(held[number % len(held)])
    broker.take(acks.take())

    assert set(broker.acked) == asked


@pytest.mark.parametrize(
    ("delivered", "due", "expected"),
    [
        ([1, 2, 3], [3, 1, 2], [(3, True)]),
        ([1, 2, 3], [1, 2], [(2, True)]),
        ([1, 2, 3], [1], [ONE]),
        ([1, 2, 3], [2, 3], [TWO, (3, False)]),
        ([1, 2, 3, 4], [4, 1, 2], [(2, True), (4, False)]),
        ([], [1, 2], [ONE, TWO]),
        ([2, 1], [1, 2], [ONE, TWO]),
    ],
)
def test_one_stands_for_all_before_it_where_none_of_them_is_open(
    delivered: list[int], due: list[int], expected: list[tuple[int, bool]]
) -> None:
    acks = Acks()
    for tag in delivered:
        acks.deliver(tag)
    for tag in due:
        acks.add(tag)

    assert acks.take() == expected
    assert acks.take() == []


def test_channel_that_is_opened_again_owes_nothing() -> None:
    acks = Acks()
    for tag in (1, 2, 3):
        acks.deliver(tag)
    acks.add(1)
    acks.forget()

    assert acks.take() == []
    acks.deliver(1)
    acks.deliver(2)
    acks.add(1)
    acks.add(2)
    assert acks.take() == [(2, True)]


def test_what_settles_all_before_it_settles_them_here() -> None:
    acks = Acks()
    for tag in (1, 2, 3, 4):
        acks.deliver(tag)
    acks.settle_to(2)
    acks.add(3)
    acks.add(4)

    assert acks.take() == [(4, True)]


def test_frame_is_as_py_amqp_writes_it() -> None:
    reader = lean_reader()
    for tag, is_multiple in ((7, False), (2**40, True)):
        reader.connection.channels[1].basic_ack(tag, is_multiple)

    assert frames_of(1, [(7, False), (2**40, True)]) == reader.socket.sent


@pytest.fixture
def reader() -> Reader:
    """Give a connection over which two messages come, each on a channel, and a third."""
    return lean_reader(delivery(1) + delivery(2) + delivery(1, channel=2))


@pytest.fixture
def loop(reader: Reader) -> Iterator[Loop]:
    with reader.attached() as loop:
        reader.connection.read()
        yield loop


@pytest.fixture
def channel(reader: Reader, loop: Loop) -> Any:
    return reader.connection.channels[1]


def methods(reader: Reader) -> list[Any]:
    """Give what was written: for acknowledgements their tags, else the method."""
    sent, found = reader.socket.sent, []
    while sent:
        _, number, size = unpack(">BHI", sent[:7])
        method = unpack(">HH", sent[7:11])
        is_ack = method in (Basic.Ack, Basic.Reject)
        found.append((number, method, *unpack(">QB", sent[11:20])) if is_ack else (number, method))
        sent = sent[size + 8 :]
    return found


def test_acknowledgements_of_a_turn_are_written_at_its_end(
    reader: Reader, loop: Loop, channel: Any
) -> None:
    channel.basic_ack(1)
    channel.basic_ack(2)
    reader.connection.channels[2].basic_ack(1)
    assert reader.socket.sent == b""

    loop.tick()

    assert sorted(methods(reader)) == [(1, Basic.Ack, 2, 1), (2, Basic.Ack, 1, 0)]
    assert reader.connection.bytes_sent == 2
    loop.tick()
    assert len(methods(reader)) == 2


def test_rejection_stays_behind_what_was_acknowledged(reader: Reader, channel: Any) -> None:
    channel.basic_ack(1)
    channel.basic_reject(2, requeue=True)

    assert methods(reader) == [(1, Basic.Ack, 1, 0), (1, Basic.Reject, 2, 1)]


def test_acknowledgement_is_written_before_the_next_message_is_handed_on(reader: Reader) -> None:
    channel = reader.connection.channels[1]
    written: list[int] = []

    def take(message: Any) -> None:
        written.append(len(methods(reader)))
        channel.basic_ack(message.delivery_tag)

    channel.callbacks[TAG] = take
    with reader.attached():
        reader.connection.read()

    assert written == [0, 1]


def test_nobody_waits_with_an_acknowledgement_unwritten(reader: Reader, channel: Any) -> None:
    channel.basic_ack(1)

    with pytest.raises(TimeoutError):
        reader.connection.drain_events(timeout=0)

    assert methods(reader) == [(1, Basic.Ack, 1, 0)]


def test_close_comes_behind_what_was_acknowledged(reader: Reader, channel: Any) -> None:
    channel.basic_ack(1)

    with pytest.raises(TimeoutError):
        channel.close()

    assert methods(reader) == [(1, Basic.Ack, 1, 0), (1, Channel.Close)]


def test_heartbeat_writes_what_is_acknowledged(reader: Reader, channel: Any) -> None:
    channel.basic_ack(1)

    reader.connection.heartbeat_tick()

    assert methods(reader) == [(1, Basic.Ack, 1, 0)]


def test_other_thread_writes_at_once(reader: Reader, channel: Any) -> None:
    thread = threading.Thread(target=channel.basic_ack, args=(1,))
    thread.start()
    thread.join()

    assert methods(reader) == [(1, Basic.Ack, 1, 0)]


@pytest.mark.parametrize("name", ["should_stop", "should_terminate"])
def test_worker_that_stops_writes_at_once(
    reader: Reader, channel: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, name, 0)

    channel.basic_ack(1)

    assert methods(reader) == [(1, Basic.Ack, 1, 0)]


def test_without_a_loop_it_is_written_at_once(reader: Reader) -> None:
    reader.connection.read()
    reader.connection.channels[1].basic_ack(1)

    assert methods(reader) == [(1, Basic.Ack, 1, 0)]


@pytest.mark.parametrize("limit", ["MOST_DUE", "LONGEST_WAIT_S"])
def test_neither_many_wait_nor_long(
    reader: Reader, channel: Any, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_acks, limit, 2 if limit == "MOST_DUE" else -1)

    channel.basic_ack(1)
    channel.basic_ack(2)

    assert len(methods(reader)) == (1 if limit == "MOST_DUE" else 2)


def test_message_that_was_got_is_acknowledged_with_no_other(reader: Reader, channel: Any) -> None:
    with pytest.raises(TimeoutError):
        channel.basic_get("celery_see")
    reader.socket.sent = b""
    channel.basic_ack(1)
    channel.basic_ack(2)
    channel.flush_acks()

    assert methods(reader) == [(1, Basic.Ack, 1, 0), (1, Basic.Ack, 2, 0)]


def test_consumer_that_acknowledges_nothing_lets_each_stand_for_itself() -> None:
    reader = lean_reader(delivery(1) + delivery(2, tag="heedless") + delivery(3))
    channel = reader.connection.channels[1]
    channel.callbacks["heedless"] = channel.callbacks[TAG]
    channel.no_ack_consumers.add("heedless")

    with reader.attached() as loop:
        reader.connection.read()
        channel.basic_ack(1)
        channel.basic_ack(3)
        loop.tick()

    assert methods(reader) == [(1, Basic.Ack, 1, 0), (1, Basic.Ack, 3, 0)]


def test_closed_connection_is_an_error_as_ever(reader: Reader, channel: Any) -> None:
    reader.connection.collect()

    with pytest.raises(RecoverableConnectionError, match="already closed"):
        channel.basic_ack(1)


def test_channel_that_rabbitmq_closes_gets_no_more_of_what_it_has_forgotten(
    reader: Reader, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_do_revive", lambda: None)
    channel.basic_ack(1)
    arguments = dumps("BsBB", (406, "PRECONDITION_FAILED", 0, 0))
    reader.socket.portions = [frame(1, 1, pack(">HH", *Channel.Close) + arguments)]

    with pytest.raises(ChannelError):
        reader.connection.read()
    reader.connection.flush_acks()

    assert methods(reader) == [(1, Channel.CloseOk)]
