"""kombu's transport for RabbitMQ, at a fraction of the processor time of each message.

On the connection of which a worker's loop reads, it takes what the socket holds at once, and hands
on each message that is in there as py-amqp would; whatever is unusual, py-amqp reads from the same
buffer. What a turn of the loop acknowledges is written together at the end of the turn.

Any Celery project has it by `broker_transport = "celeriac.amqp_transport:Transport"`. Everything
but a loop, such as publishing or a worker with gevent, does as with kombu's own.
"""

import threading
import time
from contextlib import suppress
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from celery.worker import state
from kombu.transport import TRANSPORT_ALIASES, pyamqp

from celeriac import deadline
from celeriac.amqp_acks import Acks, frames_of
from celeriac.amqp_frames import (
    DELIVER,
    FRAMES,
    METHOD,
    Delivery,
    Frame,
    IncompleteError,
    UnusualError,
    delivery_of,
    frame_at,
)
from celeriac.amqp_sockets import Bell, TCPSocket, TLSSocket

TURN_S = 0.01
"""How long messages are handed on before the loop looks after all else: heartbeats, revokes."""


def use_lean_transport() -> None:
    """Have kombu use this transport for the addresses that begin with `amqp`."""
    TRANSPORT_ALIASES["amqp"] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["amqps"] = f"{__name__}:SSLTransport"


class Channel(pyamqp.Channel):  # type: ignore[misc]
    """Knows what is not settled, and acknowledges together what may be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.acks = Acks()
        super().__init__(*args, **kwargs)

    def basic_ack(self, delivery_tag: int, multiple: bool = False, **kwargs: Any) -> Any:
        """Acknowledge, at the end of the loop's turn if this is the loop."""
        connection = self.connection
        if not multiple and self.is_open and connection is not None and connection.gathers_acks:
            connection.await_turn(self)
            if self.acks.add(delivery_tag):
                self.flush_acks()
            return None
        sent = super().basic_ack(delivery_tag, multiple, **kwargs)
        if multiple:
            self.acks.settle_to(delivery_tag)
        else:
            self.acks.settle(delivery_tag)
        return sent

    def basic_reject(self, delivery_tag: int, requeue: bool, **kwargs: Any) -> Any:
        """Reject, behind all that was acknowledged before."""
        sent = super().basic_reject(delivery_tag, requeue, **kwargs)
        self.acks.settle(delivery_tag)
        return sent

    def basic_get(self, *args: Any, **kwargs: Any) -> Any:
        """Take one message; what is open is not known from here on."""
        self.acks.count_no_more()
        return super().basic_get(*args, **kwargs)

    def send_method(self, *args: Any, **kwargs: Any) -> Any:
        """Send, behind all that was acknowledged before."""
        self.flush_acks()
        return super().send_method(*args, **kwargs)

    def flush_acks(self) -> None:
        """Write what is acknowledged, and not written."""
        connection = self.connection
        if self.acks.due and connection is not None:
            connection.write_acks(self.channel_id, self.acks.take())

    def collect(self) -> None:
        """Forget all, since the channel is closed."""
        self.acks.forget()
        super().collect()

    def _on_close(self, *args: Any) -> Any:
        self.acks.forget()
        return super()._on_close(*args)

    def _on_basic_deliver(self, consumer_tag: str, delivery_tag: int, *others: Any) -> Any:
        if consumer_tag in self.no_ack_consumers:
            self.acks.count_no_more()
        else:
            self.acks.deliver(delivery_tag)
        return super()._on_basic_deliver(consumer_tag, delivery_tag, *others)


class Connection(deadline.Connection):
    """Reads ahead, and gathers acknowledgements, when a loop has it in its care."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop: Any = None
        self._loop_thread = 0
        self._bell: Bell | None = None
        self._has_left = False
        """Whether what was read may hold more than was handed on."""
        self._with_due: set[Any] = set()
        super().__init__(*args, **kwargs)

    def Transport(  # noqa: N802
        self,
        host: str,
        connect_timeout: float | None,
        ssl: Any = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Give a socket that can be read further than py-amqp reads."""
        kwargs |= {"read_timeout": read_timeout, "write_timeout": write_timeout}
        kind = TLSSocket if ssl else TCPSocket
        return kind(host, connect_timeout=connect_timeout, ssl=ssl, **kwargs)

    def attach(self, loop: Any) -> None:
        """Be in the care of this loop, which runs in this thread."""
        self._detach()
        self._loop, self._loop_thread = loop, threading.get_ident()
        self._bell = Bell(loop, self.read)
        self._bell.ring()  # A record of TLS may have come with what was asked for before.
        loop.on_tick.add(self.flush_acks)

    def _detach(self) -> None:
        if self._bell is not None:
            self._loop.on_tick.discard(self.flush_acks)
            self._bell.close()
            self._loop = self._bell = None

    def collect(self) -> None:
        """Let go of all that belongs to the connection."""
        self._detach()
        super().collect()

    @property
    def gathers_acks(self) -> bool:
        """Tell whether the end of a turn will write what is acknowledged now."""
        return (
            self._loop is not None
            and threading.get_ident() == self._loop_thread
            and bool(self.connected)
            and not _is_stopping()
        )

    def await_turn(self, channel: Any) -> None:
        """Write the acknowledgements of this channel when the turn is over."""
        self._with_due.add(channel)

    def flush_acks(self) -> None:
        """Write what is acknowledged, and not written.

        Raises:
            OSError: the connection is gone.
        """
        while self._with_due:
            self._with_due.pop().flush_acks()

    def write_acks(self, channel_id: int, acks: list[tuple[int, bool]]) -> None:
        """Write acknowledgements of one channel."""
        self.transport.write(frames_of(channel_id, acks))
        self.bytes_sent += len(acks)

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Wait for what comes next, having written what is acknowledged."""
        self.flush_acks()
        try:
            return super().blocking_read(timeout)
        finally:
            self._ring_for_more()

    def heartbeat_tick(self, rate: int = 2) -> None:
        """See to it that both ends know of each other."""
        self.flush_acks()
        super().heartbeat_tick(rate)

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close, having written what is acknowledged."""
        with suppress(*self.connection_errors):
            self.flush_acks()
        return super().close(*args, **kwargs)

    def read(self) -> None:
        """Hand on what is there, for as long as a turn may take.

        Raises:
            RecoverableConnectionError: the connection is closed.
            OSError: it is gone.
        """
        if not self.connected:
            raise RecoverableConnectionError("Socket was disconnected")
        ahead, loop, until_s = self.transport, self._loop, time.monotonic() + TURN_S
        if not self._has_left:
            ahead.read_ahead()
        self._has_left = True
        try:
            while ahead.connected and self._has_left and time.monotonic() < until_s:
                self._has_left = self._hand_on(ahead)
        finally:
            self._ring_for_more()
        if not ahead.connected and loop is not None:
            loop.call_soon(self.read)

    def _ring_for_more(self) -> None:
        if self._bell is not None and (self._has_left or self.transport.has_more):
            self._bell.ring()

    def _hand_on(self, ahead: TCPSocket | TLSSocket) -> bool:
        """Hand on what comes next in the buffer; tells whether all of it was there."""
        try:
            frame = frame_at(ahead.buffer, ahead.at)
        except IncompleteError:
            return False
        except UnusualError:
            self.on_inbound_frame(ahead.read_frame())  # It says what is wrong.
            return True
        channel = self._delivered_to(ahead.buffer, frame)
        if channel is not None:
            try:
                delivery, end = delivery_of(ahead.buffer, frame)
            except IncompleteError:
                return False
            except UnusualError:
                pass
            else:
                ahead.at = end
                self._deliver(channel, delivery)
                return True
        ahead.at = frame.end + 1
        self.on_inbound_frame((frame.kind, frame.channel, ahead.buffer[frame.start : frame.end]))
        return True

    def _delivered_to(self, buffer: bytes, frame: Frame) -> Any:
        """Give the channel that a message is for, if this begins one, and it takes messages."""
        if frame.kind != METHOD or not buffer.startswith(DELIVER, frame.start):
            return None
        channel = (self.channels or {}).get(frame.channel)
        if channel is None or channel.is_closing or spec.Basic.Deliver in channel._pending:
            return None
        return channel

    def _deliver(self, channel: Any, delivery: Delivery) -> None:
        """Do what py-amqp does with a message that is complete."""
        self.bytes_recv += FRAMES
        message = delivery.message
        encoding = message.properties.get("content_encoding")
        if encoding is not None and channel.auto_decode:
            with suppress(Exception):  # A body may be anything; it stays as it is then.
                message.body = message.body.decode(encoding)
        self.flush_acks()  # What comes of a message may take long.
        channel._on_basic_deliver(*delivery)


def _is_stopping() -> bool:
    """Tell whether a worker of this process is about to leave its loop."""
    known = vars(state)
    return known["should_stop"] is not None or known["should_terminate"] is not None


class Transport(pyamqp.Transport):  # type: ignore[misc]
    """kombu's, with such connections."""

    Connection = Connection

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Give the connection into the care of a loop."""
        super().register_with_event_loop(connection, loop)
        connection.attach(loop)

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Read what has come."""
        connection.read()


class SSLTransport(Transport, pyamqp.SSLTransport):  # type: ignore[misc]
    """kombu's over TLS, with such connections."""
