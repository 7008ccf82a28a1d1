"""Whatever RabbitMQ sends, and however it is cut up: the lean reader gives what py-amqp gives."""

import itertools
import string
import zlib
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from struct import pack
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame
from amqp.serialization import dumps
from amqp.spec import Basic
from hypothesis import given
from hypothesis import strategies as st

from amqp_streams import (
    CHANNELS,
    TAG,
    Reader,
    content,
    deliver,
    delivery,
    frame,
    lean_reader,
    read_all,
    shown,
    stock_told,
)
from celeriac import amqp_transport

CAPTURED = zlib.decompress(
    b64decode(
        "eNrNld1q2zAUxx2nSb8o682uZ0yhHY0220rr2PRiuxnsZlA2fBNKkC3F1eLIRpLXhJA9x55id32NPtI2KW3WJE3aDD"
        "aYwFjnQ+gc+ae/K0bFMIwXxplxVvuQM+Iat0N5dxKSET7sCEJuTO2ofFVp03H+w9hHRZHRBEmas9efRc5qpeyClkq0"
        "NjLE0o8qzSyGGxKJnp5XEcYmxXq657hBABJUyJITXBeXCOdXUZVIFG2SQUE5EVEt5XlZRLuTV4cyTAbRJieSUyLe6x"
        "K2Je2TjPapfKt3ilQ0z2Vn2Q7bBeKE6Vi0hXgqOCm4zqofuQ3Le7nTu5r1mqNxPec0pUxbuylh7purnPcI36Mpyznp"
        "qPrKTErjuVqSoYTgjm6yw4iQlKWT6p4JifqFilwShAkXUX3iEO900KzO13eA4iYK/BMIki7CAJ7gAMQoaIKE+BgGfs"
        "t1T+BNdfKxztttXfRFwxqN1WMnKMtilPSEHVqszLKGZRPOFzzJJaJs1sw5vjPHFzeVFRSYSygwj2couP75CAXfn6Lg"
        "oIVcL4lVr77b6oKm7wUgCJxTEPgQwm4zTuI4mIVDL7I8xzsFrgug88lthdALPf+V57QC6B87Tug4U4AeJAchdBeT/x"
        "CyuvbV5kBbq4lV/G0cwcYifVujw/gwtJr/mkH1RVIxaUrvUEHmeq2sheomPHX0uEP2ut2Gmlc7tnVji9S2R7YuXc1s"
        "BYet+NTnoQOuWmXfHo8yNe92XmjSfpuijCdty2FB7vmm/X4pUZxpVxdlgowv/uK1qFaWiOO3dcUxXKZAT0vfUuVcZO"
        "GhkM3ewRVAzcD5CEtzt2K10k6v61Po3YvBAxnfHwCsHF/U+YIkL5nMpj+l/0w2fwHFgQdY"
    )
)
"""What RabbitMQ 3.10 sent of two tasks that Celery 5.7 published, and of the first once more."""


HEARTBEAT = frame(8, 0, b"")
words = st.text(max_size=20)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    words,
    st.binary(max_size=20),
    st.decimals(-1000, 1000, places=2).map(Decimal),
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
short = st.text(string.printable, max_size=12)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["application/json", "text/plain", ""]),
        "content_encoding": st.sampled_from(["utf-8", "binary", "latin-1", "nonsense"]),
        "application_headers": st.dictionaries(words, values, max_size=6),
        "delivery_mode": st.integers(1, 2),
        "priority": st.integers(0, 255),
        "correlation_id": short,
        "reply_to": short,
        "expiration": short,
        "message_id": short,
        "timestamp": st.integers(0, 2**63),
        "type": short,
        "user_id": short,
        "app_id": short,
        "cluster_id": short,
    },
)
bodies = st.binary(max_size=60) | st.text(max_size=20).map(str.encode)
tags = st.sampled_from([TAG, TAG, TAG, "unknown"])


@st.composite
def frames_on(draw: st.DrawFn, channel: int) -> list[bytes]:
    """Draw the frames of something that RabbitMQ may send on a channel."""
    kind = draw(st.sampled_from(["message"] * 5 + ["return", "ack", "cancel"]))
    if kind == "ack":
        confirmed = dumps("Lb", (draw(st.integers(1, 2**40)), draw(st.booleans())))
        return [frame(1, channel, pack(">HH", *Basic.Ack) + confirmed)]
    if kind == "cancel":
        named = dumps("sb", (draw(tags), True))
        return [frame(1, channel, pack(">HH", *Basic.Cancel) + named)]
    most = draw(st.sampled_from([7, 20, 1000]))
    if kind == "return":
        method = pack(">HH", *Basic.Return) + dumps("Bsss", (312, "NO_ROUTE", "", "there"))
    else:
        method = deliver(draw(tags), draw(st.integers(1, 2**40)), draw(st.booleans()))
    return content(channel, method, draw(properties), draw(bodies), most)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw what RabbitMQ may send: channels and heartbeats come between each other's frames."""
    waiting = [
        [each for frames in draw(st.lists(frames_on(number), max_size=4)) for each in frames]
        for number in CHANNELS
    ]
    waiting.append([HEARTBEAT] * draw(st.integers(0, 3)))
    stream = b""
    while left := [frames for frames in waiting if frames]:
        # Most often a message comes in one piece.
        frames = draw(st.sampled_from(left))
        for _ in range(draw(st.sampled_from([3, 3, 3, 2, 1]))):
            stream += frames.pop(0) if frames else b""
    return stream


@given(streams(), st.data())
def test_any_stream_in_any_portions_gives_what_the_stock_reader_gives(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    portions = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert read_all(lean_reader(*portions)).told == stock_told(stream)


def test_every_octet_may_come_alone() -> None:
    stream = HEARTBEAT.join([delivery(1), delivery(2, b"", priority=3), delivery(3, b"[1, 2]")])

    assert read_all(lean_reader(*[bytes([octet]) for octet in stream])).told == stock_told(stream)


@pytest.mark.parametrize("size", [1, 7, 100, 700, 5000])
def test_what_celery_publishes_is_read_as_it_is(size: int) -> None:
    portions = [CAPTURED[at : at + size] for at in range(0, len(CAPTURED), size)]

    told = read_all(lean_reader(*portions)).told

    assert told == stock_told(CAPTURED)
    assert [each["properties"]["priority"] for each in told[0]] == [3, 0, 3]
    assert told[0][2]["properties"]["application_headers"]["x-delivery-count"] == 1


def test_whole_messages_are_read_without_py_amqp(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = lean_reader(CAPTURED)
    monkeypatch.setattr(reader.connection, "_on_inbound_frame", None)

    read_all(reader)

    assert len(reader.seen) == 3


def test_frame_that_does_not_end_is_an_error_as_ever() -> None:
    reader = lean_reader(delivery()[:-1] + b"?")

    with pytest.raises(UnexpectedFrame, match="frame_end 0x3f"):
        read_all(reader)


def test_what_a_callback_reads_itself_is_read_in_its_turn() -> None:
    reader = lean_reader(b"".join(delivery(number) for number in range(1, 5)))
    seen: list[int] = []

    def take(message: Any) -> None:
        seen.append(message.delivery_tag)
        if message.delivery_tag == 1:
            reader.connection.drain_events(timeout=0)
        seen.append(message.delivery_tag)

    reader.connection.channels[1].callbacks[TAG] = take
    read_all(reader)

    assert seen == [1, 2, 2, 1, 3, 3, 4, 4]


def test_channel_that_closes_takes_no_messages() -> None:
    reader = lean_reader(delivery(1) + delivery(2, channel=2))
    reader.connection.channels[1].is_closing = True

    read_all(reader)

    assert [each["channel"] for each in reader.seen] == [2]


def test_connection_that_was_closed_is_an_error_in_the_next_turn() -> None:
    reader = lean_reader(delivery(1) + delivery(2))
    reader.connection.channels[1].callbacks[TAG] = lambda _: reader.connection.collect()

    with reader.attached() as loop:
        reader.connection.read()

        assert not loop.readers
        assert not loop.on_tick
        with pytest.raises(RecoverableConnectionError):
            loop.soon[0]()


def test_server_that_closes_the_socket_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = lean_reader()
    monkeypatch.setattr(reader.socket, "recv", lambda *_: b"")

    with pytest.raises(OSError, match="closed connection"):
        reader.connection.read()

    assert not reader.connection.connected


def test_turn_ends_in_time_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = lean_reader(delivery(1) + delivery(2) + delivery(3))
    clock = itertools.count()
    monkeypatch.setattr(amqp_transport.time, "monotonic", lambda: next(clock) / 2)
    monkeypatch.setattr(amqp_transport, "TURN_S", 1)
    seen = []

    with reader.attached() as loop:
        while not _is_silent(loop.answer):
            seen.append(len(reader.seen))

    assert seen == [1, 2, 3, 3]


def test_message_that_fails_keeps_no_other_from_being_read() -> None:
    reader = lean_reader(delivery(1) + delivery(2))
    reader.connection.channels[1].callbacks[TAG] = _fail_once(reader)

    with reader.attached() as loop:
        with pytest.raises(RuntimeError):
            loop.answer()
        loop.answer()

    assert [each["delivery_info"]["delivery_tag"] for each in reader.seen] == [2]


def _fail_once(reader: Reader) -> Callable[[Any], None]:
    left = [RuntimeError()]

    def take(message: Any) -> None:
        if left:
            raise left.pop()
        reader.seen.append(shown(message))

    return take


def _is_silent(answer: Callable[[], object]) -> bool:
    """Answer the bell; tells whether it did not ring."""
    try:
        answer()
    except BlockingIOError:
        return True
    return False
