"""Messages for Redis from templates, and the commands that bring them there.

kombu writes a message as JSON, and looks up its list, for each anew. Here that is done once for a
task, queue and priority, and what differs is put between the pieces.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kombu.utils.json import dumps
from uuid_utils import uuid4

from celeriac.redis_transport import Channel
from celeriac.templates import (
    ARGS,
    EMPTY,
    ID,
    KWARGS,
    Call,
    Rendering,
    encode,
    is_plain,
    send_marked,
)

BODY, TAG, HEADERS = "<<body>>", "<<tag>>", '"headers": {'
_IN_JSON = {mark: encode(mark)[1:-1] for mark in (ARGS, KWARGS)}
_MARKS = re.compile(f"({'|'.join(map(re.escape, (ID, BODY, TAG, HEADERS, *_IN_JSON.values())))})")


@dataclass(frozen=True, slots=True)
class Posting:
    """A message with the list that it goes to, and Celery's event with its topic."""

    key: str
    message: str
    topic: str = ""
    event: str = ""


@dataclass
class Caught:
    """What Celery and kombu make of a submission, as it would be written."""

    channel: Any
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Catch what the channel would write in this block."""
        self.channel._put, self.channel._put_fanout = self._put, self._put_fanout
        try:
            yield
        finally:
            del self.channel._put, self.channel._put_fanout

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        priority = self.channel._get_message_priority(message, reverse=False)
        self.messages.append((self.channel._q_for_pri(queue, priority), message))

    def _put_fanout(self, exchange: str, message: dict[str, Any], key: str, **_: Any) -> None:
        topics = self.channel._get_publish_topics(exchange, key)
        self.events += [(topic, message) for topic in topics]

    @property
    def is_plain(self) -> bool:
        """Tell whether it is one message, and nothing of it depends on when it was made."""
        if len(self.messages) != 1 or len(self.events) > 1:
            return False
        _, message = self.messages[0]
        return (
            message["body"] == b64encode(EMPTY).decode()
            and "expiration" not in message["properties"]
            and is_plain(message["content-type"], message["headers"])
        )


class RedisTemplate(Rendering):
    """Makes the messages of one task for one queue and priority."""

    def __init__(self, app: Any, caught: Caught) -> None:
        (self._key, message), *_ = caught.messages
        self._topic, event = caught.events[0] if caught.events else ("", None)
        super().__init__(app, b64decode(event["body"]) if event else None)
        self._pieces = _cut(message)
        self._event_pieces = _cut(event) if event else []

    def posting(self, call: Call) -> Posting:
        """Make the message of a run, and the event that tells of it."""
        shown = self.shown(call)
        more = f"{encode(call.headers)[1:-1]}, " if call.headers else ""
        message = _joined(
            self._pieces,
            {
                **_own(self.body_of(call)),
                ID: call.run_id,
                _IN_JSON[ARGS]: encode(shown[0])[1:-1],
                _IN_JSON[KWARGS]: encode(shown[1])[1:-1],
                HEADERS: HEADERS + more,
            },
        )
        told = self.event_of(call, shown)
        if told is None:
            return Posting(self._key, message)
        return Posting(self._key, message, self._topic, _joined(self._event_pieces, _own(told)))


def redis_template_of(
    app: Any, task: Any, options: Mapping[str, Any], producer: Any
) -> RedisTemplate | None:
    """Make a template by this producer, or none where its channel is not as ours are."""
    channel = producer.channel
    if not isinstance(channel, Channel) or channel.global_keyprefix:
        return None
    caught = Caught(channel)
    with caught.catching():
        send_marked(app, task, options, producer)
    return RedisTemplate(app, caught) if caught.is_plain and not channel._expires else None


def _cut(message: dict[str, Any]) -> list[str]:
    """Write a message with marks, and cut it at them."""
    properties = {**message["properties"], "delivery_tag": TAG}
    for given in ("argsrepr", "kwargsrepr"):  # They are headers; here only by the way to get them.
        properties.pop(given, None)
    return _MARKS.split(dumps({**message, "body": BODY, "properties": properties}))


def _joined(pieces: Sequence[str], values: Mapping[str, str]) -> str:
    return "".join([values.get(piece, piece) for piece in pieces])


def _own(body: bytes) -> dict[str, str]:
    """Give what no other message has."""
    return {BODY: b64encode(body).decode(), TAG: str(uuid4())}
