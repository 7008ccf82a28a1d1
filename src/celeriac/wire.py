"""One connection to RabbitMQ that many threads write to; what it confirms is told to who waits.

py-amqp connects, and opens the one channel; it waits for one confirm after the other, and lets
nobody else write meanwhile. So from then on frames are written and read here: whole buffers, with
any number of messages unconfirmed. The broker numbers the messages of a channel from 1, in the
order in which they were written.

Source: AMQP 0-9-1, section 4.2; RabbitMQ, "Consumer Acknowledgements and Publisher Confirms".
"""

import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Any

from amqp import Message
from amqp.exceptions import (
    ChannelError,
    ConnectionError,
    MessageNacked,
    RecoverableConnectionError,
    error_for_code,
)
from amqp.spec import Basic, Channel, Connection

from celeriac.amqp_frames import (
    BASIC,
    BODY,
    FRAME,
    FRAME_END,
    HEADER,
    METHOD,
    IncompleteError,
    frame_at,
)

CHANNEL = 1
READ_BYTES = 65_536
_HEADER, _CONFIRM = Struct(">HHQ"), Struct(">QB")
_END = bytes([FRAME_END])

Landed = Callable[[Exception | None], None]
"""Is told that a message has got through (None), or why not; called once, and must not wait."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it is written: the arguments of its publishing, its properties, its body."""

    route: bytes
    properties: bytes
    body: bytes
    name: str = ""
    """Its correlation id, by which it is known where it comes back."""

    def frames(self, most_bytes: int) -> bytes:
        """Give its frames, none longer than the broker takes."""
        header = _HEADER.pack(BASIC, 0, len(self.body)) + self.properties
        parts = [_frame(METHOD, self.route), _frame(HEADER, header)]
        step = most_bytes - FRAME.size - len(_END)
        for at in range(0, len(self.body), step):
            parts.append(_frame(BODY, self.body[at : at + step]))
        return b"".join(parts)


def route_of(exchange: str, routing_key: str, *, mandatory: bool) -> bytes:
    """Give how a message is published: its exchange, its key, and whether it must find a queue."""
    texts = (text.encode() for text in (exchange, routing_key))
    short = b"".join(bytes([len(text)]) + text for text in texts)
    return bytes((0, Basic.Publish[0], 0, Basic.Publish[1], 0, 0)) + short + bytes([mandatory])


class Wire:
    """A connection that works until it breaks; then everything that is open on it fails."""

    def __init__(self, connection: Any) -> None:
        """Take over a connection of py-amqp's that is open, and nobody else's.

        Raises:
            OSError, amqp.AMQPError: the broker gives no channel that confirms.
        """
        self._connection = connection
        channel = connection.channel(CHANNEL)
        channel.confirm_select()
        self._frame_bytes = connection.frame_max
        self._socket = connection.transport.sock
        self._buffer = bytes(connection.transport._read_buffer)
        self._writing = threading.Lock()
        self._last = 0
        self._open: dict[int, tuple[Landed, str]] = {}
        self._returned: set[str] = set()
        self._back: Any = None
        self._flows = threading.Event()
        self._flows.set()
        self.error: Exception | None = None
        self.heard_at_s = time.monotonic()
        self.declared: set[str] = set()
        """What was declared while it held; the broker may have lost what was before."""
        threading.Thread(target=self._read, name="celeriac-confirms", daemon=True).start()

    @property
    def is_blocked(self) -> bool:
        """Tell whether the broker takes no messages for now, for want of memory or disk."""
        return not self._flows.is_set()

    def wait_until_it_flows(self, within_s: float) -> bool:
        """Wait as long as the broker takes no messages; tells whether it takes some now."""
        return self._flows.wait(max(0.0, within_s))

    def write(self, messages: Sequence[tuple[Outgoing, Landed | None]], within_s: float) -> None:
        """Write messages at once; whoever is named with one hears what becomes of it.

        Raises:
            OSError, amqp.AMQPError: nothing was written; nobody hears of anything.
        """
        frames = b"".join([message.frames(self._frame_bytes) for message, _ in messages])
        if not self._writing.acquire(timeout=max(0.0, within_s)):
            raise TimeoutError("Others write to the broker, and it takes too long.")
        try:
            if self.error:
                raise _as_lost(self.error)
            for message, landed in messages:
                self._last += 1
                if landed:
                    self._open[self._last] = landed, message.name
            try:
                self._socket.sendall(frames)
            except (OSError, ValueError) as error:  # Part of a frame may have gone.
                self.end(_as_lost(error))
        finally:
            self._writing.release()
        if self.error:
            self._fail(self.error)

    def end(self, error: Exception) -> None:
        """Cut the connection; what is open fails with this error."""
        self.error = self.error or error
        with suppress(OSError):
            self._socket.shutdown(2)
        self._flows.set()
        self._fail(self.error)

    def _fail(self, error: Exception) -> None:
        while self._open:
            with suppress(KeyError):
                _, (landed, _) = self._open.popitem()
                landed(error)

    # Reading, in a thread of its own.

    def _read(self) -> None:
        try:
            while not self.error:
                self._take(self._buffer + self._received())
        except Exception as error:  # Whatever it is, nobody waits for ever.
            # Of whose message the broker complains, it does not say; the others are as open as it.
            self.end(_as_lost(error))
        with suppress(Exception):
            self._connection.collect()

    def _received(self) -> bytes:
        while not self.error:
            try:
                data = self._read_some()
            except (BlockingIOError, ssl.SSLWantReadError):  # Nothing came for a while.
                continue
            if not data:
                raise RecoverableConnectionError("RabbitMQ has closed the connection.")
            self.heard_at_s = time.monotonic()
            return data
        return b""

    def _read_some(self) -> bytes:
        if not isinstance(self._socket, ssl.SSLSocket):
            return bytes(self._socket.recv(READ_BYTES))
        # OpenSSL lets nobody read and write at the same time.
        if not self._socket.pending():
            waiting = select.poll()
            waiting.register(self._socket, select.POLLIN)
            waiting.poll(1000)
        with self._writing:
            timeout_s = self._socket.gettimeout()
            self._socket.settimeout(0)
            try:
                return self._socket.recv(READ_BYTES)
            finally:
                self._socket.settimeout(timeout_s)

    def _take(self, data: bytes) -> None:
        """Take all frames that are there in whole, and keep the rest."""
        at = 0
        with suppress(IncompleteError):
            while True:
                frame = frame_at(data, at)
                if frame.kind == METHOD:
                    self._take_method(data, frame.start)
                elif frame.kind == HEADER and self._back is not None:
                    self._take_back(data, frame.start)
                at = frame.end + len(_END)
        self._buffer = data[at:]

    def _take_method(self, data: bytes, at: int) -> None:
        method = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        at += 4
        if method == Basic.Ack:
            self._settle(data, at, None)
        elif method == Basic.Nack:
            self._settle(data, at, MessageNacked())
        elif method == Basic.Return:
            self._back = Message()
        elif method == Connection.Blocked:
            self._flows.clear()
        elif method == Connection.Unblocked:
            self._flows.set()
        elif method in (Connection.Close, Channel.Close):
            default = ConnectionError if method == Connection.Close else ChannelError
            raise error_for_code(*_reply(data, at), method, default)

    def _take_back(self, data: bytes, at: int) -> None:
        """Note a message that no queue takes; its confirm follows all the same."""
        assert self._back is not None
        self._back._load_properties(BASIC, data, at + _HEADER.size)
        self._returned.add(self._back.properties.get("correlation_id", ""))
        self._back = None

    def _settle(self, data: bytes, at: int, error: Exception | None) -> None:
        tag, bits = _CONFIRM.unpack_from(data, at)
        for each in self._tags(tag, multiple=bool(bits & 1)):
            landed, name = self._open.pop(each, (None, ""))
            if landed is None:
                continue
            if name in self._returned:
                self._returned.discard(name)
                landed(_no_route())
            else:
                landed(error)

    def _tags(self, tag: int, *, multiple: bool) -> Iterator[int]:
        if not multiple:
            return iter((tag,))
        return iter([each for each in list(self._open) if each <= tag])


def _frame(kind: int, payload: bytes) -> bytes:
    return FRAME.pack(kind, CHANNEL, len(payload)) + payload + _END


def _reply(data: bytes, at: int) -> tuple[int, str]:
    text = data[at + 3 : at + 3 + data[at + 2]]
    return int.from_bytes(data[at : at + 2]), text.decode("utf-8", "replace")


def _no_route() -> Exception:
    error: Exception = error_for_code(
        312, "No queue takes the message.", Basic.Return, ChannelError
    )
    return error


def _as_lost(error: Exception) -> Exception:
    """Say of whatever broke the connection that it is lost."""
    lost = RecoverableConnectionError(f"The connection to RabbitMQ was lost: {error}")
    lost.__cause__ = error
    return lost
