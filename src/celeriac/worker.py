"""The worker role: a genuine Celery worker that listens to every queue its tasks go to."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from kombu import Connection

from celeriac.app import create_app
from celeriac.catalog import Catalog
from celeriac.errors import ConfigurationError
from celeriac.pools import leave_threads_behind
from celeriac.queues import all_of, differences, names_of, said_of_teams
from celeriac.settings import Settings
from celeriac.start_wait import wait_for_broker, wait_for_redis

logger = logging.getLogger(__name__)


def run_worker(settings: Settings, name: str, options: Sequence[str] = ()) -> None:
    """Run a worker until it is told to stop; `options` are Celery's own and win.

    Raises:
        ConfigurationError: an address is missing, a module of tasks cannot be imported, or a queue
            exists with another definition.
        BrokerUnavailableError, ResultsUnavailableError: broker or Redis did not answer for
            `start_wait_s`.
    """
    app = create_app(settings)
    queues = queues_of(app, settings)
    is_on_amqp = app.conf.broker_url.startswith("amqp")
    with app.connection_for_read() as connection:
        wait_for_broker(connection, "worker", settings.start_wait_s)
        if is_on_amqp:
            _check_queues(connection, app, queues)
    wait_for_redis(settings.require_urls()[1], "worker", settings.start_wait_s)
    if is_on_amqp and (said := said_of_teams(app.amqp.queues, queues)):
        logger.warning("%s.", said)
    if settings.log_level not in ("DEBUG", "INFO"):
        worker_ready.connect(_say_ready, weak=False)
    try:
        app.worker_main(
            [
                "worker",
                f"--hostname={name}@%h",
                f"--concurrency={settings.concurrency}",
                f"--loglevel={settings.log_level}",
                f"--queues={','.join(queues)}",
                *options,
            ]
        )
    finally:
        leave_threads_behind()


def queues_of(app: Celery, settings: Settings) -> list[str]:
    """Give every queue that a worker must listen to, so that no run waits for ever."""
    declared = names_of(app.amqp.queues.values())
    return sorted(Catalog.of(app).queues | declared | set(settings.extra_queues))


def _check_queues(connection: Connection, app: Celery, names: Iterable[str]) -> None:
    """Refuse to start on queues that are not as they should be: Celery would end in a traceback.

    Raises:
        ConfigurationError: one exists with another definition.
    """
    queues = [queue for name in names for queue in all_of(app.amqp.queues, name)]
    for name, detail in differences(connection, queues).items():
        raise ConfigurationError(
            f"The queue {name!r} exists with another definition ({detail}). "
            "`celeriac queues migrate` keeps its messages and defines it anew."
        )


def _say_ready(sender: Any, **_: Any) -> None:
    """Tell whoever watches our output what Celery tells on the levels that are switched off."""
    print(f"{sender.hostname} ready.", flush=True)
