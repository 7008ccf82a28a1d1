"""The worker role: a genuine Celery worker that listens to every queue its tasks go to."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from celery.utils.nodenames import gethostname, nodename

from celeriac.app import create_app
from celeriac.catalog import Catalog
from celeriac.settings import Settings

UNACKED, INDEX = "unacked", "unacked_index"

logger = logging.getLogger(__name__)


def run_worker(settings: Settings, name: str, options: Sequence[str] = ()) -> None:
    """Run a worker until it is told to stop; `options` are Celery's own and win.

    Raises:
        ConfigurationError: an address is missing, or a module of tasks cannot be imported.
    """
    app = create_app(settings)
    if not app.conf.broker_url.startswith("amqp"):
        _take_back_unacked(app, nodename(name, gethostname()))
    if settings.log_level not in ("DEBUG", "INFO"):
        worker_ready.connect(_say_ready, weak=False)
    app.worker_main(
        [
            "worker",
            f"--hostname={name}@%h",
            f"--concurrency={settings.concurrency}",
            f"--loglevel={settings.log_level}",
            f"--queues={','.join(queues_of(app, settings))}",
            *options,
        ]
    )


def queues_of(app: Celery, settings: Settings) -> list[str]:
    """Give every queue that a worker must listen to, so that no run waits for ever."""
    queues = {task.queue for task in Catalog.of(app).tasks if task.queue}
    return sorted(queues | set(app.amqp.queues) | set(settings.extra_queues))


def _take_back_unacked(app: Celery, node: str) -> None:
    """On a Redis broker, put back what a worker of this name had taken when it died.

    kombu keeps all workers' unacknowledged messages in one place and puts them back after the
    visibility timeout. Kept apart by node, they belong to the dead predecessor and can go back
    at once; those of nodes that never come back go back after that timeout, as ever.
    """
    options = app.conf.broker_transport_options
    options |= {"unacked_key": f"{UNACKED}:{node}", "unacked_index_key": f"{INDEX}:{node}"}
    late = time.time() - options.get("visibility_timeout", 3600)
    with app.connection_for_read() as connection:
        connection.ensure_connection(errback=_say_waiting)
        channel: Any = connection.default_channel
        for index in channel.client.scan_iter(f"{INDEX}:*"):
            owner = index.decode().removeprefix(f"{INDEX}:")
            _put_back(channel, owner, until=math.inf if owner == node else late)


def _put_back(channel: Any, node: str, until: float) -> None:
    qos = channel.qos
    qos.unacked_key, qos.unacked_index_key = f"{UNACKED}:{node}", f"{INDEX}:{node}"
    for tag in channel.client.zrangebyscore(qos.unacked_index_key, 0, until):
        qos.restore_by_tag(tag)


def _say_ready(sender: Any, **_: Any) -> None:
    """Tell whoever watches our output what Celery tells on the levels that are switched off."""
    print(f"{sender.hostname} ready.", flush=True)


def _say_waiting(error: Exception, interval_s: float) -> None:
    logger.warning("The broker is away (%s). Trying again in %.0f s.", error, interval_s)
