"""What RabbitMQ tells of a queue: how many messages are ready, and who listens."""

import time
from typing import Any, NamedTuple

from celeriac.errors import BrokerUnavailableError

GIVES_UP_AFTER_S = 0.25
"""After this time RabbitMQ says that a quorum queue is empty and has no consumers.

Source: `stat` in rabbit_quorum_queue.erl, RabbitMQ 3.10 to 4.2."""
SURE_WITHIN_S = 0.8 * GIVES_UP_AFTER_S
ANSWERS_WITHIN_S = 10.0
"""How long a queue is asked again that may not have answered."""


class QueueCounts(NamedTuple):
    """What a queue holds that nobody has in hand, and how many have some in hand or want some."""

    ready: int
    consumers: int


def counts_of(channel: Any, name: str) -> QueueCounts:
    """Ask for a queue's counts, until it is known to have answered.

    Raises:
        BrokerUnavailableError: the queue does not answer.
    """
    asked_s = time.monotonic()
    until_s = asked_s + ANSWERS_WITHIN_S
    while asked_s < until_s:
        found = channel.queue_declare(name, passive=True)
        answered_s = time.monotonic()
        counts = QueueCounts(int(found.message_count), int(found.consumer_count))
        if any(counts) or answered_s - asked_s < SURE_WITHIN_S:
            return counts
        asked_s = answered_s
    raise BrokerUnavailableError(
        f"The queue {name!r} does not answer. No message is lost; try again shortly."
    )
