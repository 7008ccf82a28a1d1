"""Dead-letter queues of RabbitMQ: a letter that is looked at is given back in its order."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from amqp import Message
from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection, Queue

from celeriac.queues import EXCHANGE, HIGH_FROM, dead_name_of, high_name_of, is_ours, routing_key_of
from celeriac.runs.letter_boxes import PAGE, Found, LetterCount, RawLetter, Send, connected

IDLE_S = 2.0
"""How long nothing may come of a queue that said it has more: somebody else looks at it."""
FREE_WITHIN_S = 1.0
"""How long a count waits for what somebody else has in hand."""
LOOK_EVERY_S = 0.05
MOST_IN_HAND = 65_535
"""How many messages a consumer of RabbitMQ can be given that acknowledges none."""


class AmqpBox:
    """The dead letters of every queue."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def counts(self, queues: Sequence[str]) -> dict[str, LetterCount]:
        """Tell how many dead letters each queue has, when others have looked at them if need be.

        Raises:
            BrokerUnavailableError
        """
        until_s = time.monotonic() + FREE_WITHIN_S
        with connected(self._app) as connection:
            return {name: _free_count(connection, dead_name_of(name), until_s) for name in queues}

    def go_through(self, queue: str, most: int) -> Iterator[Found]:
        """Show letters, the oldest first; it ends early where others have some in hand.

        Raises:
            BrokerUnavailableError
        """
        with connected(self._app) as connection:
            until_s = time.monotonic() + FREE_WITHIN_S
            left = min(most, _free_count(connection, dead_name_of(queue), until_s).letters)
            channel: Any = connection.channel()
            yield from _found(connection, channel, queue, left)
            # Closing the channel gives back, in order, all that was not acknowledged.
            channel.close()

    @contextmanager
    def sending(self) -> Iterator[Send]:
        """Connect once to publish many letters.

        Raises:
            BrokerUnavailableError
        """
        declared: set[str] = set()
        with connected(self._app) as connection:
            channel: Any = connection.channel()

            def send(letter: RawLetter) -> None:
                queue, exchange, key = self._address(letter)
                if queue.name not in declared:
                    queue.bind(channel).declare()
                    declared.add(queue.name)
                channel.basic_publish_confirm(_message(letter), exchange, key, mandatory=True)

            yield send

    def _address(self, letter: RawLetter) -> tuple[Queue, str, str]:
        queue = self._app.amqp.queues[letter.queue]
        if not is_ours(queue):
            return queue, "", letter.queue
        urgent = (letter.properties.get("priority") or 0) >= HIGH_FROM
        lane = high_name_of(letter.queue) if urgent else letter.queue
        return self._app.amqp.queues[lane], EXCHANGE.name, routing_key_of(lane)


def _free_count(connection: Connection, name: str, until_s: float) -> LetterCount:
    while (count := _count(connection, name)).is_looked_at and time.monotonic() < until_s:
        time.sleep(LOOK_EVERY_S)
    return count


def _count(connection: Connection, name: str) -> LetterCount:
    channel: Any = connection.channel()
    try:
        found = channel.queue_declare(name, passive=True)
    except NotFound:
        return LetterCount(0)
    channel.close()
    return LetterCount(int(found.message_count), found.consumer_count > 0)


def _found(connection: Connection, channel: Any, queue: str, count: int) -> Iterator[Found]:
    """Take that many as they come; whenever all in hand are kept, the hand is made larger."""
    arrived: deque[Any] = deque()
    kept, room, hands = 0, 0, 0
    for _ in range(count):
        if not arrived and kept == room:
            kept, room, hands = 0, min(room * 4 or PAGE, MOST_IN_HAND), hands + 1
            channel.basic_qos(0, room, False)
            # Letters are given back in the order of the tags.
            tag = f"letters-{hands:03}"
            channel.basic_consume(dead_name_of(queue), tag, callback=arrived.append)
        try:
            while not arrived:
                connection.drain_events(timeout=IDLE_S)
        except TimeoutError:
            return
        message = arrived.popleft()
        found = Found(_raw(queue, message), partial(channel.basic_ack, message.delivery_tag))
        yield found
        kept += not found.is_removed


def _raw(queue: str, message: Any) -> RawLetter:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    properties = dict(message.properties)
    return RawLetter(queue, body, properties.pop("application_headers", {}), properties)


def _message(letter: RawLetter) -> Message:
    properties = {n: v for n, v in letter.properties.items() if n != "expiration"}
    properties["application_headers"] = letter.lasting_headers
    return Message(letter.body, **properties)
