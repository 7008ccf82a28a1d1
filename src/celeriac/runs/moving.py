"""Gives a queue of RabbitMQ another definition, while others go on publishing to it.

Between the last look into a queue and its deletion a message may come, which is confirmed and then
deleted. So a stand-in takes the queue's bindings over first: from then on nothing comes to the old
queue, and nobody is refused. When the new queue is there, it takes them over the same way. What is
sent in the moment in which both are bound comes twice; a run that has succeeded is not executed
again.

Who publishes by the default exchange cannot be led elsewhere: that one knows queues by their names.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from amqp import Message
from amqp.exceptions import AMQPNotImplementedError, PreconditionFailed
from kombu import Connection, Queue, binding

from celeriac.delays import bind_to_delays
from celeriac.errors import QueueInUseError
from celeriac.queues import NO_LIMIT
from celeriac.runs.queue_counts import counts_of

UNDER_WAY_S = 0.3
"""How long a message may still be on its way to a queue that has just lost its bindings."""
_STAND_IN_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": NO_LIMIT}


def redefine(connection: Connection, queue: Queue, differs: bool, delays: str | None) -> int:
    """Define a queue anew; gives how many messages came back from its stand-in.

    `delays` is the type of the queues in which runs wait for their time, where there are any.

    Raises:
        QueueInUseError: a worker listens to it.
        BrokerUnavailableError: it does not answer.
    """
    ways = list(_ways_to(queue, delayed=bool(delays)))
    if differs:
        _move_away(connection, queue, ways)
    # RabbitMQ 3 breaks a channel that knew a queue of this name and another kind.
    with connection.channel() as channel:
        queue.bind(channel).declare()
    if delays and queue.exchange.type != "direct":
        # What becomes due before the next worker starts must not wait for it.
        bind_to_delays(connection, queue, delays)
    return _drain(connection, stand_in_of(queue.name), queue.name, ways)


def stand_in_of(name: str) -> str:
    """Give the name of the queue that holds the messages of another while that is made anew."""
    return f"{name}.moving"


def _ways_to(queue: Queue, *, delayed: bool) -> Iterator[binding]:
    """Give each binding of a queue, those for what was delayed too."""
    own = binding(queue.exchange, queue.routing_key, arguments=queue.binding_arguments)
    for way in (own, *(queue.bindings or ())):
        if way.exchange and way.exchange.name:
            yield way
            if delayed and way.exchange.type != "direct":
                yield binding(way.exchange, f"#.{way.routing_key}")


def _move_away(connection: Connection, queue: Queue, ways: Iterable[binding]) -> None:
    stand_in = Queue(stand_in_of(queue.name), queue_arguments=_STAND_IN_ARGUMENTS)
    with connection.channel() as channel:
        _check_unused(channel, queue.name)
        bound = stand_in.bind(channel)
        bound.queue_declare()
        for way in ways:
            way.declare(channel)
            way.bind(bound)
    _drain(connection, queue.name, stand_in.name, ways)


def _drain(connection: Connection, source: str, target: str, ways: Iterable[binding]) -> int:
    """Cut a queue off, move all that it holds, and delete it."""
    channel: Any = connection.channel()
    for way in ways:
        exchange: Any = way.exchange
        channel.queue_unbind(source, exchange.name, way.routing_key, arguments=way.arguments)
    moved = _move(channel, source, target)
    time.sleep(UNDER_WAY_S)
    while True:
        _check_unused(channel, source)
        moved += _move(channel, source, target)
        if _deleted(connection, channel, source):
            channel.close()
            return moved


def _check_unused(channel: Any, name: str) -> None:
    consumers = counts_of(channel, name).consumers
    if consumers:
        raise QueueInUseError(name, consumers)


def _move(channel: Any, source: str, target: str) -> int:
    """Move messages one by one; each is in one of the two queues at any moment.

    The channel may close right after: each look has the queue hear of the message before it, and
    the last one finds nothing.
    """
    moved = 0
    while found := channel.basic_get(source, no_ack=False):
        # On its way it must not expire, of which nobody would be told; a worker reads the header.
        properties = {name: each for name, each in found.properties.items() if name != "expiration"}
        message = Message(found.body, channel=channel, **properties)
        channel.basic_publish_confirm(message, exchange="", routing_key=target, mandatory=True)
        channel.basic_ack(found.delivery_tag)
        moved += 1
    return moved


def _deleted(connection: Connection, channel: Any, name: str) -> bool:
    """Delete a queue unless it holds something; only classic queues do the two in one step."""
    try:
        with connection.clone() as other:
            other.channel().queue_delete(name, if_unused=True, if_empty=True)
    except PreconditionFailed:
        return False
    except AMQPNotImplementedError:  # It costs the connection.
        if counts_of(channel, name).ready:
            return False
        channel.queue_delete(name)
    return True
