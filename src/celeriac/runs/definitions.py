"""How the broker's queues are defined, and giving one another definition without losing a message.

RabbitMQ never changes a queue. So its messages move to a queue that lives as long as that takes,
the queue is made anew, and they move back. What stopped half-way goes on from where it was.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery
from celery.utils.quorum_queues import detect_quorum_queues
from kombu import Connection, Queue

from celeriac.catalog import Catalog
from celeriac.celeryconfig import CONNECT_TIMEOUT_S
from celeriac.errors import BrokerUnavailableError
from celeriac.queues import all_of, differences, names_of, said_of_teams
from celeriac.runs.moving import redefine, stand_in_of
from celeriac.runs.sending import PASSING


class QueueDefinitions:
    """Compares the queues of the broker with those that the app declares."""

    def __init__(self, app: Celery, catalog: Catalog, extra_queues: tuple[str, ...]) -> None:
        self._app = app
        self._names = names_of(app.amqp.queues.values()) | catalog.queues | set(extra_queues)

    def differences(self) -> Mapping[str, str]:
        """Give the queues that exist with another definition, with what the broker says of each.

        Raises:
            BrokerUnavailableError
        """
        if not self._app.conf.broker_url.startswith("amqp"):
            return {}
        with self._connected() as connection:
            return differences(connection, self._queues())

    def said_of_teams(self) -> str | None:
        """Tell what the queues lack that a team's app declares by itself on RabbitMQ."""
        if not self._app.conf.broker_url.startswith("amqp"):
            return None
        return said_of_teams(self._app.amqp.queues, sorted(self._names))

    def forgets_long_runs(self) -> str | None:
        """Give the version of a RabbitMQ that does not read in a queue how long runs may take.

        Raises:
            BrokerUnavailableError
        """
        if not self._app.conf.broker_url.startswith("amqp"):
            return None
        with self._connected() as connection:
            line: Any = connection.connection
            version = str(line.server_properties.get("version", ""))
        return version if version and not keeps_long_runs(version) else None

    def migrate(self) -> Iterator[tuple[str, int]]:
        """Define anew what differs; gives each queue and how many messages it kept.

        Raises:
            QueueInUseError: a worker listens to it.
            BrokerUnavailableError: the broker went away; nothing is lost, call it again.
        """
        if not self._app.conf.broker_url.startswith("amqp"):
            return
        with self._connected() as connection:
            queues = self._queues()
            differing = differences(connection, queues)
            for queue in queues:
                differs = queue.name in differing
                if differs or _exists(connection, stand_in_of(queue.name)):
                    yield queue.name, redefine(connection, queue, differs, self._delays())

    def _queues(self) -> list[Queue]:
        table = self._app.amqp.queues
        return [queue for name in sorted(self._names) for queue in all_of(table, name)]

    def _delays(self) -> str | None:
        """Give the type of the queues in which runs wait for their time; none without them."""
        if not detect_quorum_queues(self._app, "amqp")[0]:
            return None
        return str(self._app.conf.broker_native_delayed_delivery_queue_type)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S) as connection:
                connection.connect()
                yield connection
        except PASSING as error:
            raise BrokerUnavailableError(
                "The broker did not answer. No message is lost; try again shortly."
            ) from error


def keeps_long_runs(version: str) -> bool:
    """Tell whether a RabbitMQ reads `x-consumer-timeout` of a queue; an odd version is a new one.

    Source: RabbitMQ, "Delivery Acknowledgement Timeout": per queue from 3.12 on.
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return len(numbers) < 2 or numbers >= [3, 12]


def _exists(connection: Connection, name: str) -> bool:
    channel: Any = connection.channel()
    try:
        channel.queue_declare(name, passive=True)
    except NotFound:
        return False
    channel.close()
    return True
