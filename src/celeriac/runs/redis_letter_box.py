"""Dead letters of a Redis broker, lists as kombu writes them: one that is looked at stays there."""

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any

from celery import Celery

from celeriac.queues import dead_name_of
from celeriac.runs.letter_boxes import PAGE, Found, LetterCount, RawLetter, Send, connected


class RedisBox:
    """The dead letters of every queue."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def counts(self, queues: Sequence[str]) -> dict[str, LetterCount]:
        """Tell how many dead letters each queue has.

        Raises:
            BrokerUnavailableError
        """
        with self._client() as client:
            return {name: LetterCount(int(client.llen(dead_name_of(name)))) for name in queues}

    def go_through(self, queue: str, most: int) -> Iterator[Found]:
        """Show letters, the oldest first.

        Raises:
            BrokerUnavailableError
        """
        with self._client() as client:
            yield from islice(_found(client, queue), most)

    @contextmanager
    def sending(self) -> Iterator[Send]:
        """Connect once to publish many letters.

        Raises:
            BrokerUnavailableError
        """
        with connected(self._app) as connection, connection.Producer() as producer:

            def send(letter: RawLetter) -> None:
                given = letter.properties
                producer.publish(
                    letter.body,
                    exchange="",
                    routing_key=letter.queue,
                    headers=letter.lasting_headers,
                    content_type=given.get("content_type"),
                    content_encoding=given.get("content_encoding"),
                    correlation_id=given.get("correlation_id") or "",
                    reply_to=given.get("reply_to") or "",
                    priority=self._app.conf.task_default_priority,
                )

            yield send

    @contextmanager
    def _client(self) -> Iterator[Any]:
        with connected(self._app) as connection:
            channel: Any = connection.default_channel
            yield channel.client


def _found(client: Any, queue: str) -> Iterator[Found]:
    """Go from the list's tail, where the oldest are, to its head, where kombu adds.

    Those that were kept lie behind. When others remove some of these, what is ahead moves back:
    then some are met again, and passed.
    """
    name = dead_name_of(queue)
    kept: set[bytes] = set()
    behind = 0
    while True:
        texts = client.lrange(name, -behind - PAGE, -max(behind, 1))
        if behind and not (texts and _identity(texts.pop()) in kept):
            behind = max(0, behind - PAGE)
            continue
        if not texts:
            return
        for text in reversed(texts):
            if _identity(text) not in kept:
                found = Found(_parsed(queue, text), partial(client.lrem, name, -1, text))
                yield found
                if found.is_removed:
                    continue
                kept.add(_identity(text))
            behind += 1


def _identity(text: bytes) -> bytes:
    return blake2b(text, digest_size=12).digest()


def _parsed(queue: str, text: bytes) -> RawLetter:
    message = json.loads(text)
    properties, body = message.get("properties", {}), message.get("body") or ""
    encoded = properties.get("body_encoding") == "base64"
    known = {
        "content_type": message.get("content-type"),
        "content_encoding": message.get("content-encoding"),
        "correlation_id": properties.get("correlation_id"),
        "reply_to": properties.get("reply_to"),
    }
    raw = b64decode(body) if encoded else body.encode()
    return RawLetter(queue, raw, message.get("headers") or {}, known)
