"""Signed messages: who may write to the broker, and no more, cannot have a worker execute anything.

Each message of a task carries a header with an HMAC of its body, of its headers and of those
properties by which it is read. Where `CELERIAC_MESSAGE_KEYS` is set, a worker looks at nothing else
of a message before that has been found right. The first key signs; all of them are accepted.

A client that uses no app of ours signs with one line: `sign_messages(app, keys)`.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Self

from celery import Celery
from kombu.serialization import dumps

from celeriac.setting_values import keys_in

HEADER: Final = "celeriac_signature"
VERSION: Final = "v1"
_ON_THE_WAY: Final = frozenset(
    (HEADER, "celeriac_dead", "compression", "redelivered", "argsrepr", "kwargsrepr")
)
"""Headers that come after the signature, or that only people read; `x-...` are the broker's."""
_PROPERTIES: Final = ("content_type", "content_encoding", "correlation_id", "reply_to")

UNSIGNED = (
    "It carries no signature. This worker takes signed messages alone (CELERIAC_MESSAGE_KEYS): "
    "whoever sent it has no key, or it was sent before keys were set."
)
MALFORMED = "Its body or its signature is none of ours: it has another form."
UNKNOWN_KEY = (
    "It is signed with the key {name!r}, which is not known here. Add that key to "
    "CELERIAC_MESSAGE_KEYS, if it is yours."
)
WRONG = (
    "Its signature is wrong: it was changed on its way, or signed with another key of that name."
)


class Signatures:
    """Signs messages, and tells what is wrong with a signature."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self._first = next(iter(self._keys))

    @classmethod
    def of(cls, text: str) -> Self:
        """Read keys as the setting has them: `new:SECRET,old:SECRET`.

        Raises:
            ValueError: one is no name and secret, or too short.
        """
        return cls(keys_in(text))

    def signed(
        self, headers: Mapping[str, Any], properties: Mapping[str, Any], body: bytes
    ) -> dict[str, Any]:
        """Give the headers of a message with its signature; the body is not compressed."""
        digest = _digest(self._keys[self._first], headers, properties, body)
        return {**headers, HEADER: f"{VERSION}:{self._first}:{digest.hex()}"}

    def problem_with(
        self, headers: Mapping[str, Any], properties: Mapping[str, Any], body: object
    ) -> str | None:
        """Tell what is wrong with a message's signature, or None where it is right.

        On Redis a body may be anything that JSON has, whatever a producer of kombu's makes of it.
        """
        told = headers.get(HEADER)
        if not told:
            return UNSIGNED
        version, name, hexadecimal = f"{told}::".split(":")[:3]
        if version != VERSION or not isinstance(told, str):
            return MALFORMED
        if not isinstance(body, (str, bytes, bytearray, memoryview)):
            return MALFORMED
        if (key := self._keys.get(name)) is None:
            return UNKNOWN_KEY.format(name=name[:40])
        try:
            content = body.encode() if isinstance(body, str) else bytes(body)
            right = _digest(key, headers, properties, content).hex()
            is_right = hmac.compare_digest(right.encode(), hexadecimal.encode())
        except (TypeError, ValueError, RecursionError):  # Nobody who signs writes such headers.
            is_right = False
        return None if is_right else WRONG


class SigningProducer:
    """A producer of kombu's that signs what is a message of a task; all else goes as it came."""

    def __init__(self, producer: Any, signatures: Signatures) -> None:
        self._producer = producer
        self._signatures = signatures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def publish(self, body: Any, **options: Any) -> Any:
        """Publish as the producer does, with one header more."""
        headers = options.get("headers") or {}
        if "task" in headers:  # An event of Celery's has none.
            if not options.get("content_type"):
                serializer = options.pop("serializer", None) or self._producer.serializer
                kind, encoding, body = dumps(body, serializer=serializer)
                options.update(content_type=kind, content_encoding=encoding)
            body = body.encode() if isinstance(body, str) else body
            options["headers"] = self._signatures.signed(headers, options, body)
        return self._producer.publish(body, **options)


def sign_messages(app: Celery, keys: str | Signatures) -> None:
    """Have an app sign every message of a task that it publishes from now on.

    Raises:
        ValueError: one of the keys is no name and secret, or too short.
    """
    signatures = Signatures.of(keys) if isinstance(keys, str) else keys
    amqp: Any = app.amqp
    create = amqp._create_task_sender

    def create_sender() -> Any:
        send = create()

        def send_task_message(producer: Any, *args: Any, **options: Any) -> Any:
            return send(SigningProducer(producer, signatures), *args, **options)

        return send_task_message

    amqp._create_task_sender = create_sender
    # What the app has made before it was asked to sign.
    amqp.__dict__.pop("send_task_message", None)
    amqp.signatures = signatures


def signatures_of(app: Celery) -> Signatures | None:
    """Give what an app signs with, or None where its messages are not signed."""
    found: Signatures | None = getattr(app.amqp, "signatures", None)
    return found


def properties_of(message: Any) -> dict[str, Any]:
    """Give the properties of a message as it came that its signature is about."""
    kinds = {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return {**message.properties, **kinds}


def _digest(
    key: bytes, headers: Mapping[str, Any], properties: Mapping[str, Any], body: bytes
) -> bytes:
    told = {
        name: value if isinstance(value, int) else _plain(value)
        for name, value in headers.items()
        if value is not None and name not in _ON_THE_WAY and not name.startswith("x-")
    }
    words = [VERSION, told, [properties.get(name) or "" for name in _PROPERTIES]]
    # JSON has no line break, so nobody can move the border between the two.
    return hmac.digest(key, _encode(words).encode() + b"\n" + body, "sha256")


def _plain(value: Any) -> Any:
    """Give a value as it arrives, whatever the broker makes of it on its way."""
    if isinstance(value, str):
        return f"\0text {value}" if value.startswith("\0") else value
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _written(value: object) -> str:
    """Write what JSON has no form for, so that no text of anybody's looks the same."""
    if isinstance(value, datetime):  # AMQP knows whole seconds.
        instant = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"\0at {int(instant.timestamp())}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"\0bytes {bytes(value).hex()}"
    # On its way a decimal loses the zeros at its end.
    return f"\0{value.normalize() if isinstance(value, Decimal) else value}"


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_written).encode
