"""Makes the worker that imports it believe in consumers which its broker has forgotten, once."""

from typing import Any

from celery.signals import worker_ready


@worker_ready.connect(weak=False)
def forget(sender: Any, **_: Any) -> None:
    """Cancel each consumer behind the worker's back, as after some broken connections."""
    for tag in sender.task_consumer._active_tags.values():
        sender.task_consumer.channel.basic_cancel(tag)
