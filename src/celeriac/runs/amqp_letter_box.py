"""Dead-letter queues of RabbitMQ: a letter that is looked at is given back in its order."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from amqp import Message
from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection, Queue

from celeriac.acknowledgements import pass_on
from celeriac.errors import BrokerUnavailableError
from celeriac.queues import EXCHANGE, HIGH_FROM, dead_name_of, high_name_of, is_ours, routing_key_of
from celeriac.runs.letter_boxes import PAGE, Found, LetterCount, RawLetter, Send, connected
from celeriac.runs.queue_counts import counts_of
from celeriac.runs.sending import PASSING

IDLE_S = 2.0
"""How long nothing may come of a queue that said it has more: somebody else looks at it."""
FREE_WITHIN_S = 1.0
"""How long a count waits for what somebody else has in hand."""
LOOK_EVERY_S = 0.05
MOST_IN_HAND = 65_535
"""How many messages a consumer of RabbitMQ can be given that acknowledges none."""
MOST_UNSEEN = 5_000
"""How many letters are fetched for nothing but the order of all."""
LAST_PAGE = 999_999


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
            with _giving_back(connection, channel, dead_name_of(queue)):
                yield from _found(connection, channel, queue, left)

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
        counts = counts_of(channel, name)
    except NotFound:
        return LetterCount(0)
    channel.close()
    return LetterCount(counts.ready, counts.consumers > 0)


@contextmanager
def _giving_back(connection: Connection, channel: Any, name: str) -> Iterator[None]:
    """Close the channel at the end, which gives back in order all that was not acknowledged."""
    try:
        yield
    except BaseException:
        with suppress(*PASSING):  # There may be nothing left to close.
            _close(connection, channel, name)
        raise
    _close(connection, channel, name)


def _close(connection: Connection, channel: Any, name: str) -> None:
    with suppress(BrokerUnavailableError):  # Only their order suffers.
        _take_rest(connection, channel, name)
    pass_on(channel, name)
    channel.close()


def _take_rest(connection: Connection, channel: Any, name: str) -> None:
    """Take the letters that nobody looks at too, so that they go back behind those that were seen.

    RabbitMQ puts what comes back behind all that came back before, and gives that out first.
    """
    rest = counts_of(channel, name).ready
    if 0 < rest <= MOST_UNSEEN:
        _take(connection, channel, name, LAST_PAGE, rest, keep=False)


def _found(connection: Connection, channel: Any, queue: str, count: int) -> Iterator[Found]:
    """Show page by page; after one of which some were kept comes a larger one."""
    size, numbers = PAGE, itertools.count()
    while count > 0:
        wanted = min(size, count)
        page = _take(connection, channel, dead_name_of(queue), next(numbers), wanted)
        kept = 0
        for message in page:
            found = Found(_raw(queue, message), partial(channel.basic_ack, message.delivery_tag))
            yield found
            kept += not found.is_removed
        count = count - wanted if len(page) == wanted else 0
        if kept:
            size = min(size * 4, MOST_IN_HAND)


def _take(
    connection: Connection, channel: Any, name: str, page: int, size: int, *, keep: bool = True
) -> list[Any]:
    """Take so many letters, or fewer where others have them; those not to be kept become `None`.

    Nothing more is on its way when the first one is removed: what RabbitMQ sends to a consumer that
    has just ended goes back before all that was kept.
    """
    arrived: list[Any] = []
    # Letters are given back in the order of the tags; what is got without one has a number for it.
    tag = f"#{page:06}"
    channel.basic_qos(0, size, False)
    channel.basic_consume(
        name, tag, callback=lambda message: arrived.append(message if keep else None)
    )
    with suppress(TimeoutError):
        while len(arrived) < size:
            connection.drain_events(timeout=IDLE_S)
    channel.basic_cancel(tag)
    return arrived


def _raw(queue: str, message: Any) -> RawLetter:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    properties = dict(message.properties)
    return RawLetter(queue, body, properties.pop("application_headers", {}), properties)


def _message(letter: RawLetter) -> Message:
    properties = {n: v for n, v in letter.properties.items() if n != "expiration"}
    properties["application_headers"] = letter.lasting_headers
    return Message(letter.body, **properties)
