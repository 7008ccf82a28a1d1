"""Sockets to RabbitMQ that are read further than is handed on, and what wakes a loop for that."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from amqp import transport

PORTION = 65_536
"""How much is read at once, in bytes; for more, the memory would come from the system each time."""


class ReadAhead:
    """A socket of py-amqp's that may have been read further than is handed on."""

    sock: Any
    connected: bool
    _write: Callable[[Any], object]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    @property
    def _read_buffer(self) -> bytes:
        """Give py-amqp, which reads from here first, all that is not handed on."""
        return self.buffer[self.at :]

    @_read_buffer.setter
    def _read_buffer(self, rest: bytes) -> None:
        self.buffer, self.at = rest, 0

    def read_ahead(self) -> None:
        """Take what there is without waiting.

        Raises:
            OSError: the connection is gone.
        """
        try:
            data = self._receive()
        except OSError:
            self.connected = False
            raise
        self.buffer, self.at = self.buffer[self.at :] + data, 0

    def write(self, data: Any) -> None:
        """Write all of it, and nothing of another thread's in between."""
        with self._lock:
            super().write(data)  # type: ignore[misc]

    def _receive(self) -> bytes:
        raise NotImplementedError

    @property
    def has_more(self) -> bool:
        """Tell whether there is something to read that makes no socket readable."""
        return False


class TCPSocket(ReadAhead, transport.TCPTransport):
    """Without TLS."""

    def _receive(self) -> bytes:
        try:
            data: bytes = self.sock.recv(PORTION, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return b""
        return _unless_closed(data)


class TLSSocket(ReadAhead, transport.SSLTransport):
    """With TLS, which gives a record at a time and may have read the next."""

    def _receive(self) -> bytes:
        portions: list[bytes] = []
        with suppress(TimeoutError), self.having_timeout(0):
            while sum(map(len, portions)) < PORTION:
                portions.append(_unless_closed(self.sock.recv(PORTION)))
                if not self.sock.pending():
                    break
        return b"".join(portions)

    @property
    def has_more(self) -> bool:
        """Tell whether a record is read, and not taken."""
        return self.sock is not None and self.sock.pending() > 0


def _unless_closed(data: bytes) -> bytes:
    if not data:
        raise OSError("Server unexpectedly closed connection")
    return data


class Bell:
    """Calls from a loop in its next turn; it waits for sockets, even when it was told by itself."""

    def __init__(self, loop: Any, call: Callable[[], object]) -> None:
        self._loop, self._call = loop, call
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        loop.add_reader(self._far, self._answer)

    def ring(self) -> None:
        """Have it called."""
        with suppress(BlockingIOError):  # It is ringing.
            self._near.send(b"\0")

    def close(self) -> None:
        """Call no more."""
        if self._far.fileno() in self._loop.readers:
            self._loop.remove_reader(self._far.fileno())
        self._near.close()
        self._far.close()

    def _answer(self) -> None:
        self._far.recv(4096)
        self._call()
