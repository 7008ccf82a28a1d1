"""A connection that many write to: who waits hears of the own message, whatever else comes."""

import socket
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import MessageNacked, NotFound, RecoverableConnectionError

from celeriac.wire import Outgoing, Wire, route_of
from eventually import eventually

ACK, NACK = 80, 120
MULTIPLE = True
PROPERTIES = b"\x04\x00" + b"\x05run-1"  # The flag of the correlation id, and that.


class Broker:
    """The other end: what was written arrives here, and what it says goes back in pieces."""

    def __init__(self) -> None:
        self.socket, ours = socket.socketpair()
        transport = SimpleNamespace(sock=ours, _read_buffer=b"")
        channel = SimpleNamespace(confirm_select=lambda: None)
        self.connection: Any = SimpleNamespace(
            frame_max=131_072, transport=transport, channel=lambda _: channel, collect=ours.close
        )

    def say(self, method: tuple[int, int], arguments: bytes = b"") -> None:
        payload = struct.pack(">HH", *method) + arguments
        self.send(1, payload)

    def send(self, kind: int, payload: bytes) -> None:
        frame = struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"
        for at in range(0, len(frame), 5):
            self.socket.sendall(frame[at : at + 5])

    def confirm(self, tag: int, *, multiple: bool = False, how: int = ACK) -> None:
        self.say((60, how), struct.pack(">QB", tag, multiple))

    def give_back(self, name: str) -> None:
        self.say((60, 50), struct.pack(">H", 312) + b"\x08NO_ROUTE" + b"\x00\x01q")
        text = name.encode()
        self.send(2, struct.pack(">HHQ", 60, 0, 4) + b"\x04\x00" + bytes([len(text)]) + text)
        self.send(3, b"body")


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.socket.close()


@pytest.fixture
def wire(broker: Broker) -> Iterator[Wire]:
    wire = Wire(broker.connection)
    yield wire
    wire.end(RecoverableConnectionError("The test is over."))


class Heard(dict[str, Exception | None]):
    """What was heard of each message."""

    def send(self, wire: Wire, *names: str) -> None:
        wire.write([(_message(name), self._note(name)) for name in names], 1)

    def _note(self, name: str) -> Any:
        def note(error: Exception | None) -> None:
            assert name not in self, "It is told once."
            self[name] = error

        return note


def _message(name: str = "run-1") -> Outgoing:
    return Outgoing(route_of("", "q", mandatory=True), PROPERTIES, b"[]", name)


def test_confirms_come_in_any_order_and_together(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    heard.send(wire, "a", "b", "c")
    heard.send(wire, "d", "e")

    broker.confirm(4)
    eventually(lambda: list(heard) == ["d"])
    broker.confirm(3, multiple=MULTIPLE)
    eventually(lambda: list(heard) == ["d", "a", "b", "c"])
    broker.confirm(5)

    eventually(lambda: len(heard) == 5)
    assert set(heard.values()) == {None}


def test_one_that_is_refused_is_refused_alone(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    heard.send(wire, "a", "b", "c")

    broker.confirm(2, how=NACK)
    broker.confirm(3, multiple=MULTIPLE)

    eventually(lambda: len(heard) == 3)
    assert isinstance(heard["b"], MessageNacked)
    assert (heard["a"], heard["c"]) == (None, None)


def test_one_that_comes_back_was_confirmed_in_vain(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    heard.send(wire, "a", "run-1")

    broker.give_back("run-1")
    broker.confirm(2, multiple=MULTIPLE)

    eventually(lambda: len(heard) == 2)
    assert heard["a"] is None
    assert getattr(heard["run-1"], "reply_code", None) == 312


def test_what_is_open_when_the_connection_breaks_fails(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    heard.send(wire, "a", "b")
    broker.confirm(1)
    eventually(lambda: "a" in heard)

    broker.socket.close()

    eventually(lambda: "b" in heard)
    assert isinstance(heard["b"], RecoverableConnectionError)
    with pytest.raises(RecoverableConnectionError):
        heard.send(wire, "c")
    assert set(heard) == {"a", "b"}


def test_complaint_of_the_broker_is_told(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    heard.send(wire, "a")

    text = b"NOT_FOUND - no exchange"
    broker.say((20, 40), struct.pack(">H", 404) + bytes([len(text)]) + text + bytes(4))

    eventually(lambda: "a" in heard)
    assert isinstance(heard["a"], RecoverableConnectionError)
    assert isinstance(heard["a"].__cause__, NotFound) and "no exchange" in str(heard["a"])


def test_broker_that_takes_nothing_is_waited_for(broker: Broker, wire: Wire) -> None:
    broker.say((10, 60), b"\x06memory")
    eventually(lambda: wire.is_blocked)

    assert not wire.wait_until_it_flows(0.01)
    broker.say((10, 61))

    assert wire.wait_until_it_flows(10)


def test_late_confirm_of_what_nobody_waits_for_is_nobodys(broker: Broker, wire: Wire) -> None:
    heard = Heard()
    wire.write([(_message(), None)], 1)
    heard.send(wire, "a")

    broker.confirm(1)
    broker.confirm(2)

    eventually(lambda: heard == {"a": None})


def test_many_threads_write_whole_messages(broker: Broker, wire: Wire) -> None:
    heard, got = Heard(), bytearray()

    def submit(number: int) -> None:
        name = f"run-{number}"
        heard.send(wire, name)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    whole = len(_message().frames(131_072)) * len(threads)
    while len(got) < whole:
        got += broker.socket.recv(65_536)
    broker.confirm(len(threads), multiple=MULTIPLE)

    eventually(lambda: len(heard) == len(threads))
    assert bytes(got) == _message().frames(131_072) * len(threads)


def test_large_message_goes_in_several_frames() -> None:
    body = bytes(10_000)
    frames = Outgoing(b"route", b"properties", body).frames(4_096)

    kinds, at = [], 0
    while at < len(frames):
        kind, _, size = struct.unpack_from(">BHI", frames, at)
        assert size + 8 <= 4_096
        kinds.append(kind)
        at += size + 8
    assert kinds == [1, 2, 3, 3, 3]
