"""What RabbitMQ has to be asked for before a channel closes that has acknowledged messages.

While a quorum queue is slow, a channel holds back what it is to tell the queue, from 32 on that are
not answered. When it closes, it forgets that, and the messages come back.

Source: `settle` and `handle_ra_event` in rabbit_fifo_client.erl, RabbitMQ 3.10 to 4.2.
"""

from typing import Any


def pass_on(channel: Any, queue: str) -> None:
    """Have RabbitMQ pass on every acknowledgement and rejection that it holds back for a queue.

    The channel lets go of them when the queue answers something that was asked after them; then the
    queue must have heard them. Messages that it gives out as an answer go back when the channel
    closes.
    """
    for _ in range(2):
        channel.basic_get(queue, no_ack=False)
