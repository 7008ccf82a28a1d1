"""The queues that Celeriac declares on RabbitMQ: names, exchanges and arguments, as data.

Each queue of tasks is three queues of the broker, all durable quorum queues:

- `celery_see`, the normal lane: priorities 0 to 4, and whatever other Celery clients send;
- `celery_see.high`, the fast lane: priorities 5 to 9;
- `celery_see.dead`, its dead letters, which wait there until a person acts.

Runs that are not to start yet wait in the queues of Celery's native delayed delivery, which need a
topic exchange to give them back to.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from amqp.exceptions import NotFound, PreconditionFailed
from celery import Celery
from celery.app.amqp import Queues
from kombu import Connection, Exchange, Queue
from kombu.transport import native_delayed_delivery as delays

EXCHANGE = Exchange("celeriac", type="topic", durable=True)
DEAD_EXCHANGE = Exchange("celeriac.dead", type="direct", durable=True)
HIGH, DEAD = ".high", ".dead"
HIGH_FROM = 5
"""This priority and those above take the fast lane; RabbitMQ 4 draws its own line there too."""

MOST_DELIVERIES = 200
"""The broker's own limit, a net below that of our workers, who count what they have started. Each
message that is handed back counts here too, started or not, so restarts must not reach it."""
LONGEST_EXECUTION_S = 86_400
"""How long a run may hold its message; RabbitMQ's own limit, 30 minutes, closes the connection."""
NO_LIMIT = 2_000_000_000
"""RabbitMQ 4 gives every quorum queue a delivery limit of 20; looking at a dead letter must not
count, and 3.x does not know -1."""
DELAY_BITS = delays.MAX_NUMBER_OF_BITS_TO_USE
"""How many words native delayed delivery puts before a routing key, one for each bit."""
DELAYED = "celery_delayed_"


class QuorumQueue(Queue):
    """A queue of tasks; declaring it declares where its dead letters go, first."""

    def declare(self, nowait: bool = False, channel: Any = None) -> str:
        """Declare the dead-letter queue and this one."""
        dead_queue(self.name).bind(channel or self.channel).declare(nowait=nowait)
        return str(super().declare(nowait=nowait, channel=channel))


def task_queue(name: str) -> QuorumQueue:
    """Give the queue of tasks, or the lane, of this name."""
    return QuorumQueue(
        name,
        exchange=EXCHANGE,
        routing_key=routing_key_of(name),
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": MOST_DELIVERIES,
            "x-dead-letter-exchange": DEAD_EXCHANGE.name,
            "x-dead-letter-routing-key": base_of(name),
            # Without these two a dead letter may be lost on its way, and nobody would be told.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-consumer-timeout": LONGEST_EXECUTION_S * 1000,
        },
    )


def dead_queue(name: str) -> Queue:
    """Give the queue that keeps the dead letters of a queue of tasks."""
    return Queue(
        dead_name_of(name),
        exchange=DEAD_EXCHANGE,
        routing_key=base_of(name),
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": NO_LIMIT},
    )


def task_queues(names: Iterable[str]) -> tuple[Queue, ...]:
    """Give the queues of these names with their fast lanes, for Celery's `task_queues`."""
    return tuple(task_queue(lane) for lane in _lanes(names))


def base_of(name: str) -> str:
    """Give the name that people know a lane by."""
    return name.removesuffix(HIGH)


def high_name_of(name: str) -> str:
    """Give the name of the fast lane."""
    return base_of(name) + HIGH


def dead_name_of(name: str) -> str:
    """Give the name of the dead-letter queue."""
    return base_of(name) + DEAD


def is_ours(queue: Queue | None) -> bool:
    """Tell whether a queue is declared as this module says, and not as a team does."""
    return isinstance(queue, QuorumQueue)


def lanes_of(queues: Mapping[str, Queue], name: str) -> list[Queue]:
    """Give the queues of the broker that hold the messages of a queue of tasks."""
    queue = queues[name]
    return [queue, queues[high_name_of(name)]] if is_ours(queue) else [queue]


def all_of(queues: Mapping[str, Queue], name: str) -> list[Queue]:
    """Give the queues of the broker that belong to a queue of tasks, its dead letters first."""
    lanes = lanes_of(queues, name)
    return [dead_queue(name), *lanes] if is_ours(lanes[0]) else lanes


def said_of_teams(queues: Mapping[str, Queue], names: Iterable[str]) -> str | None:
    """Tell what queues lack that a team's app declares by itself; None where all are ours."""
    theirs = [name for name in names if not is_ours(queues[name])]
    if not theirs:
        return None
    return (
        f"{', '.join(theirs)}: declared by the app itself, so without our quorum, fast lane and "
        "delivery limit. To have ours, name its task modules in CELERIAC_TASKS, and no CELERIAC_APP"
    )


def names_of(queues: Iterable[Queue]) -> set[str]:
    """Give the names that people know these queues by."""
    return {base_of(queue.name) if is_ours(queue) else queue.name for queue in queues}


def routing_key_of(name: str) -> str:
    """Give one word for the name: delayed delivery matches what follows the last dot."""
    return quote(name, safe="").replace(".", "%2E")


def sent_to(delivery: Mapping[str, Any]) -> tuple[str, str]:
    """Give the exchange and the routing key that a message was sent with.

    One that was delayed has the bits of its delay before the key, and does not tell its exchange.
    """
    key, exchange = delivery.get("routing_key"), delivery.get("exchange") or ""
    if not isinstance(key, str):
        return exchange, ""
    return ("", key.split(".", DELAY_BITS)[-1]) if exchange.startswith(DELAYED) else (exchange, key)


def queue_by_key(delivery: Mapping[str, Any]) -> str | None:
    """Give the queue of tasks that a message goes to, by what it is sent with alone."""
    exchange, key = sent_to(delivery)
    is_of_ours = exchange == EXCHANGE.name or exchange != delivery.get("exchange")
    return (base_of(unquote(key)) if is_of_ours else key) or None


class DeclaredQueues(Queues):
    """Celery's table of queues, in which one that nobody declared is declared as ours are."""

    def new_missing(self, name: str) -> Queue:
        """Declare a queue on its first use."""
        return task_queue(name)

    def select(self, include: str | Sequence[str]) -> None:
        """Consume from these queues, each with its fast lane."""
        super().select(_lanes(include))

    def select_add(self, queue: Any, **kwargs: Any) -> Any:
        """Consume from one more queue, with its fast lane."""
        select: Any = super().select_add  # The types say wrongly that it gives nothing.
        added = select(queue, **kwargs)
        if is_ours(added):
            select(self[high_name_of(added.name)])
        return added

    def deselect(self, exclude: str | Sequence[str]) -> None:
        """Consume no more from these queues."""
        super().deselect(_lanes(exclude))


def _lanes(names: str | Iterable[str] | None) -> list[str]:
    wanted = [names] if isinstance(names, str) else names or ()
    return [lane for name in wanted for lane in dict.fromkeys((name, high_name_of(name)))]


class LaneRouter:
    """A router of Celery that sends each message into its lane, and a retry where it came from."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(
        self, name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any = None
    ) -> None:
        """Change the options of a message that is about to be sent; the route stays Celery's."""
        queues = self._app.amqp.queues
        came_from = options.get("routing_key") if options.get("exchange") else None
        if "queue" not in options and came_from:
            # Celery would give a retry with a countdown to the default queue.
            options["queue"] = queues[queue_by_key(options) or self._app.conf.task_default_queue]
            del options["exchange"], options["routing_key"]
        queue = options.get("queue") or queues[self._app.conf.task_default_queue]
        if is_ours(queue):
            high = (options.get("priority") or 0) >= HIGH_FROM
            name = high_name_of(queue.name) if high else base_of(queue.name)
            options["queue"] = queues[name]
            # Without it the broker confirms, and drops, what no queue takes.
            options["mandatory"] = True


def declare_ours(app: Celery, queue: str) -> None:
    """Make an app declare its queues as this module says; it must not declare any itself."""
    app.amqp.queues_cls = DeclaredQueues
    values = {"task_queues": task_queues([queue]), "task_routes": (LaneRouter(app),)}
    app.add_defaults(lambda: values)


def differences(connection: Connection, queues: Iterable[Queue]) -> dict[str, str]:
    """Find queues that exist with another definition; gives the broker's words by their names."""
    found = ((queue.name, _difference(connection, queue)) for queue in queues)
    return {name: difference for name, difference in found if difference}


def _difference(connection: Connection, queue: Queue) -> str | None:
    channel: Any = connection.channel()  # The broker closes it with its complaint.
    try:
        bound = queue.bind(channel)
        bound.queue_declare(passive=True)
        bound.queue_declare()
    except NotFound:
        return None
    except PreconditionFailed as error:
        return str(error.reply_text)
    channel.close()
    return None
