"""Messages as RabbitMQ sends them, read out of a buffer that holds many.

A delivery is three frames: the method, the header and the body. py-amqp takes six reads of the
socket for them, and looks at each type of AMQP for each field. Here what Celery sends is read at
once, and gives what py-amqp would give. Whatever else comes is left to py-amqp.

Source: AMQP 0-9-1, sections 2.3 and 4.2; `serialization.py` and `method_framing.py` of amqp 5.4.
"""

from collections.abc import Callable
from functools import cache
from struct import Struct, error
from typing import Any, NamedTuple

from amqp import Message
from amqp.serialization import decode_properties_basic
from amqp.spec import Basic

FRAME = Struct(">BHI")
"""Kind, channel and size of a frame; what it holds and one more octet, `FRAME_END`, follow."""
FRAME_END = 0xCE
METHOD, HEADER, BODY = 1, 2, 3
FRAMES = 3
"""How many of them make a delivery."""
DELIVER = Struct(">HH").pack(*Basic.Deliver)
BASIC = Basic.CLASS_ID

_HEADER = Struct(">HHQH")
_TAG = Struct(">QB")
_SIZE = Struct(">I")
_INT = Struct(">i")
_LONG = Struct(">q")
_UNSIGNED_LONG = Struct(">Q")

Read = Callable[[bytes, int], tuple[Any, int]]
_MALFORMED = (IndexError, ValueError, error)


class Frame(NamedTuple):
    """Where one frame is in the buffer."""

    kind: int
    channel: int
    start: int
    """Of what it holds."""
    end: int
    """Of what it holds; one octet follows."""


class Delivery(NamedTuple):
    """A message, and what RabbitMQ says of it."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    message: Any


class IncompleteError(Exception):
    """The rest is still on its way."""


class UnusualError(Exception):
    """It is for the stock reader."""


def frame_at(buffer: bytes, at: int) -> Frame:
    """Find the frame that begins here.

    Raises:
        IncompleteError: not all of it is there.
        UnusualError: it does not end where it should.
    """
    if len(buffer) - at < FRAME.size:
        raise IncompleteError
    kind, channel, size = FRAME.unpack_from(buffer, at)
    start = at + FRAME.size
    end = start + size
    if len(buffer) <= end:
        raise IncompleteError
    if buffer[end] != FRAME_END:
        raise UnusualError
    return Frame(kind, channel, start, end)


def delivery_of(buffer: bytes, method: Frame) -> tuple[Delivery, int]:
    """Read a delivery whose first frame this is; gives where the next frame begins, too.

    Raises:
        IncompleteError: not all of it is there.
        UnusualError: its body is empty or comes in parts, or another frame is between its own.
    """
    header = _next(buffer, method, HEADER)
    try:
        class_id, _, size, flags = _HEADER.unpack_from(buffer, header.start)
        if class_id != BASIC or not size:
            raise UnusualError
        body = _next(buffer, header, BODY)
        if body.end - body.start != size:
            raise UnusualError
        message = Message(frame_method=Basic.Deliver, frame_args=buffer[method.start : method.end])
        message.properties = _properties(buffer, header, flags)
        message.body = buffer[body.start : body.end]
        message.body_size = message.body_received = size
        message.ready = True
        return Delivery(*_arguments(buffer, method), message), body.end + 1
    except _MALFORMED:
        raise UnusualError from None


def _next(buffer: bytes, before: Frame, kind: int) -> Frame:
    frame = frame_at(buffer, before.end + 1)
    if frame.kind != kind or frame.channel != before.channel:
        raise UnusualError
    return frame


def _arguments(buffer: bytes, method: Frame) -> tuple[str, int, bool, str, str]:
    consumer_tag, at = _short_string(buffer, method.start + len(DELIVER))
    delivery_tag, bits = _TAG.unpack_from(buffer, at)
    exchange, at = _short_string(buffer, at + _TAG.size)
    routing_key, at = _short_string(buffer, at)
    if at != method.end:
        raise UnusualError
    return consumer_tag, delivery_tag, bits & 1 == 1, exchange, routing_key


def _properties(buffer: bytes, header: Frame, flags: int) -> dict[str, Any]:
    start = at = header.start + _HEADER.size
    found: dict[str, Any] = {}
    try:
        for name, read in _fields_of(flags):
            found[name], at = read(buffer, at)
        if at == header.end:
            return found
    except (UnusualError, *_MALFORMED):
        pass
    # It reads the flags, which are the last two octets of the fixed part, by itself.
    return dict(decode_properties_basic(buffer[start - 2 : header.end], 0)[0])


@cache
def _fields_of(flags: int) -> list[tuple[str, Read]]:
    """Give the properties that a header has, in their order; each has one of the sixteen bits."""
    if flags & 0x3:
        raise UnusualError
    fields = zip(Message.PROPERTIES, range(15, 1, -1), strict=True)
    return [(name, _BY_TYPE[kind]) for (name, kind), bit in fields if flags & (1 << bit)]


def _short_string(buffer: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + buffer[at]
    return buffer[at + 1 : end].decode(), end


def _long_string(buffer: bytes, at: int) -> tuple[str, int]:
    end = at + 4 + _SIZE.unpack_from(buffer, at)[0]
    return buffer[at + 4 : end].decode(), end


def _table(buffer: bytes, at: int) -> tuple[dict[str, Any], int]:
    end = at + 4 + _SIZE.unpack_from(buffer, at)[0]
    at += 4
    found: dict[str, Any] = {}
    while at < end:
        kind_at = at + 1 + buffer[at]
        name = buffer[at + 1 : kind_at].decode()
        read = _READERS.get(buffer[kind_at])
        if read is None:
            raise UnusualError
        found[name], at = read(buffer, kind_at + 1)
    if at != end:
        raise UnusualError
    return found, at


def _array(buffer: bytes, at: int) -> tuple[list[Any], int]:
    end = at + 4 + _SIZE.unpack_from(buffer, at)[0]
    at += 4
    found: list[Any] = []
    while at < end:
        read = _READERS.get(buffer[at])
        if read is None:
            raise UnusualError
        value, at = read(buffer, at + 1)
        found.append(value)
    if at != end:
        raise UnusualError
    return found, at


def _nothing(buffer: bytes, at: int) -> tuple[None, int]:
    return None, at


def _octet(buffer: bytes, at: int) -> tuple[int, int]:
    return buffer[at], at + 1


def _truth(buffer: bytes, at: int) -> tuple[bool, int]:
    return bool(buffer[at]), at + 1


def _int(buffer: bytes, at: int) -> tuple[int, int]:
    return _INT.unpack_from(buffer, at)[0], at + 4


def _unsigned_long(buffer: bytes, at: int) -> tuple[int, int]:
    return _UNSIGNED_LONG.unpack_from(buffer, at)[0], at + 8


def _long(buffer: bytes, at: int) -> tuple[int, int]:
    return _LONG.unpack_from(buffer, at)[0], at + 8


_READERS: dict[int, Read] = {
    ord("S"): _long_string,
    ord("V"): _nothing,
    ord("t"): _truth,
    ord("I"): _int,
    ord("l"): _long,
    ord("L"): _long,
    ord("F"): _table,
    ord("A"): _array,
}
"""What Celery's headers and RabbitMQ's counts of deliveries are made of."""
_BY_TYPE: dict[str, Read] = {"s": _short_string, "F": _table, "o": _octet, "L": _unsigned_long}
"""What properties are made of, by py-amqp's letters."""
