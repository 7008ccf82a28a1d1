"""Somebody's Celery app that has nothing of Celeriac but its transport for RabbitMQ."""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Queue

TRANSPORT = "celeriac.amqp_transport:Transport"
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


def create_app(broker_url: str, results_url: str) -> Celery:
    """Build the app, as worker and as client have it."""
    app = Celery("lean", broker=broker_url, backend=results_url, set_as_current=False)
    quorum = {"x-queue-type": "quorum"}
    app.conf.update(
        broker_transport=TRANSPORT,
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue="lean",
        task_queues=[
            Queue("lean", queue_arguments={**quorum, **DEAD}),
            Queue("dead", queue_arguments=quorum),
        ],
        worker_prefetch_multiplier=8,
    )
    return app


def add_tasks(app: Celery) -> None:
    """Register what the worker executes."""

    @app.task(name="size")
    def size(text: str) -> int:
        return len(text)

    @app.task(name="note")
    def note(path: str, number: int, wait_s: float = 0) -> int:
        time.sleep(wait_s)
        with Path(path).open("a") as file:
            file.write(f"{number}\n")
        return number

    @app.task(name="early", acks_late=False)
    def early(number: int) -> int:
        return number

    @app.task(name="refuse", bind=True)
    def refuse(self: Any) -> None:
        raise Reject("It is refused.", requeue=False)

    @app.task(name="refuse_first", bind=True)
    def refuse_first(self: Any) -> str:
        if not self.request.delivery_info["redelivered"]:
            raise Reject("Another time.", requeue=True)
        return "done"


if "LEAN_BROKER" in os.environ:
    app = create_app(os.environ["LEAN_BROKER"], os.environ["LEAN_RESULTS"])
    add_tasks(app)
