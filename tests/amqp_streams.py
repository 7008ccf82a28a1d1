"""RabbitMQ's end of a connection, as the unit tests of the transport play it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import pack
from typing import Any

from amqp import Message
from amqp.exceptions import ConsumerCancelled
from amqp.method_framing import frame_handler, frame_writer
from amqp.serialization import dumps
from amqp.spec import Basic
from amqp.transport import TCPTransport
from kombu.transport import pyamqp

from celeriac import amqp_transport
from celeriac.amqp_sockets import TCPSocket

CHANNELS = (1, 2)
TAG = "None1"


class Socket:
    """Gives, at each time it is asked, at most what has come by then."""

    def __init__(self, *portions: bytes) -> None:
        self.portions = [portion for portion in portions if portion]
        self.sent = b""

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.portions:
            raise BlockingIOError(11, "nothing is there")
        portion = self.portions.pop(0)
        if len(portion) > size:
            self.portions.insert(0, portion[size:])
        return portion[:size]

    def sendall(self, data: bytes) -> None:
        self.sent += bytes(data)

    def gettimeout(self) -> None:
        return None

    def settimeout(self, timeout: float | None) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


class Loop:
    """Calls back when it is told to."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], object]] = {}
        self.on_tick: set[Callable[[], object]] = set()
        self.soon: list[Callable[[], object]] = []

    def add_reader(self, socket: Any, call: Callable[[], object], *_: object) -> None:
        self.readers[socket.fileno()] = call

    def remove_reader(self, number: int) -> None:
        del self.readers[number]

    @property
    def answer(self) -> Callable[[], object]:
        """Give what answers the bell."""
        (answer,) = self.readers.values()
        return answer

    def tick(self) -> None:
        """End a turn."""
        for call in tuple(self.on_tick):
            call()

    def call_soon(self, call: Callable[[], object]) -> None:
        self.soon.append(call)


class Reader:
    """A connection that is open, with channels that take what comes."""

    def __init__(self, kind: Any, transport: Any, socket: Socket) -> None:
        self.socket, self.seen = socket, list[Any]()
        self.connection: Any = kind()
        self.connection.transport = transport
        transport.sock, transport.connected = socket, True
        transport._setup_transport()
        self.connection.on_inbound_frame = frame_handler(
            self.connection, self.connection.on_inbound_method
        )
        self.connection.frame_writer = frame_writer(self.connection, transport)
        for number in CHANNELS:
            self._open(number)

    def _open(self, number: int) -> None:
        channel = self.connection.Channel(self.connection, number)
        channel.is_open = True
        channel.callbacks[TAG] = lambda message: self.seen.append(shown(message))
        channel.cancel_callbacks[TAG] = lambda tag: self.seen.append((number, "cancel", tag))
        for event in ("basic_ack", "basic_return"):
            channel.events[event].add(lambda *args, name=event: self._note(number, name, args))

    def _note(self, number: int, name: str, args: tuple[Any, ...]) -> None:
        seen = [shown(arg) if isinstance(arg, Message) else repr(arg) for arg in args]
        self.seen.append((number, name, seen))

    @contextmanager
    def attached(self) -> Iterator[Loop]:
        """Give the connection into the care of a loop until the block ends."""
        loop = Loop()
        self.connection.attach(loop)
        try:
            yield loop
        finally:
            self.connection._detach()

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Take an error that a message raises for one of the things that come of it."""
        try:
            yield
        except ConsumerCancelled as error:
            self.seen.append(repr(error))

    @property
    def told(self) -> tuple[Any, ...]:
        """Give all that came of it."""
        return self.seen, self.socket.sent, self.connection.bytes_recv


def lean_reader(*portions: bytes) -> Reader:
    """Give ours, to which this comes at one time after the other."""
    return Reader(amqp_transport.Connection, TCPSocket("localhost"), Socket(*portions))


def read_all(reader: Reader) -> Reader:
    """Read until nothing comes any more."""
    while reader.socket.portions or reader.connection._has_left:
        with reader.noting_errors():
            reader.connection.read()
    return reader


def stock_told(stream: bytes) -> tuple[Any, ...]:
    """Have py-amqp read it all."""
    reader = Reader(pyamqp.Connection, TCPTransport("localhost"), Socket(stream))
    with suppress(TimeoutError):
        while True:
            with reader.noting_errors():
                reader.connection.drain_events(timeout=0)
    return reader.told


def shown(message: Any) -> dict[str, Any]:
    names = ("properties", "delivery_info", "body", "body_size", "body_received", "ready")
    found = {name: getattr(message, name) for name in (*names, "frame_method", "frame_args")}
    channel = message.channel
    return {**found, "channel": channel and channel.channel_id, "type": type(message)}


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return pack(f">BHI{len(payload)}sB", kind, channel, len(payload), payload, 0xCE)


def content(
    channel: int, method: bytes, properties: dict[str, Any], body: bytes, most: int = 1000
) -> list[bytes]:
    """Give the frames of a message, its body in parts of at most so many octets."""
    message: Any = Message(**properties)
    header = pack(">HHQ", 60, 0, len(body)) + message._serialize_properties()
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    return [
        frame(1, channel, method),
        frame(2, channel, header),
        *[frame(3, channel, part) for part in parts],
    ]


def delivery(
    number: int = 1, body: bytes = b"{}", channel: int = 1, tag: str = TAG, **properties: Any
) -> bytes:
    return b"".join(content(channel, deliver(tag, number), properties, body))


def deliver(tag: str, number: int, redelivered: bool = False) -> bytes:
    arguments = (tag, number, redelivered, "", "celery_see")
    return pack(">HH", *Basic.Deliver) + dumps("sLbss", arguments)
