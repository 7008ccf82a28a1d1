"""Clients of somebody else, which publish into a queue of ours: Celery's, and one by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from celery import Celery
from kombu import Connection, Queue

from celeriac.queues import task_queues


def foreign_client(broker_url: str, queue: str = "celery_see") -> Celery:
    """Give a client that declares nothing, since the queue is there as we have declared it."""
    client = Celery("elsewhere", broker=broker_url, set_as_current=False)
    client.conf.task_default_queue = queue
    client.conf.task_queues = [Queue(queue, no_declare=True)]
    if broker_url.startswith("amqp"):
        with client.connection_for_write() as connection:
            for each in task_queues([queue]):
                each(connection.default_channel).declare()
    return client


@contextmanager
def confirmed_producer(broker_url: str) -> Iterator[Any]:
    """Give a producer that waits until the broker has each message.

    RabbitMQ may drop what it has not confirmed when the connection closes.
    """
    options = {"confirm_publish": True} if broker_url.startswith("amqp") else {}
    with (
        Connection(broker_url, transport_options=options) as connection,
        connection.Producer() as producer,
    ):
        yield producer


def publish(
    broker_url: str,
    task: str | None,
    body: Any = None,
    /,
    run_id: str = "",
    queue: str = "celery_see",
    **kwargs: Any,
) -> str:
    """Publish a message as any Celery client does, or with a body like none; gives its run."""
    run_id = run_id or str(uuid4())
    headers = {"task": task, "id": run_id, "root_id": run_id, "lang": "py", "retries": 0}
    with confirmed_producer(broker_url) as producer:
        producer.publish(
            [[], kwargs, {}] if body is None else body,
            headers=headers if task else {},
            exchange="",
            routing_key=queue,
            delivery_mode=2,
            content_type=None if body is None else "application/json",
        )
    return run_id
