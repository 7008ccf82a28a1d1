"""A worker never gives up its last slot, whoever tells it to: its own thread checks the real size.

Celery's own `pool_shrink` does not look, and shrinks a pool to no process and past that; then the
worker seems well and executes nothing. A check by whoever asks comes too late, since others may ask
at the same time. So the command is replaced in our workers under its own name, and Flower's buttons
and `celery control pool_shrink` obey it too.
"""

from typing import Any

from celery.bootsteps import Step
from celery.worker import control


class Resizing(Step):
    """Puts the command into the place of Celery's when the worker is made."""

    def __init__(self, controller: Any, **kwargs: Any) -> None:
        super().__init__(controller, **kwargs)
        register: Any = control.control_command
        register(name="pool_shrink", args=[("n", int)], signature="[N=1]")(shrink)


def shrink(state: Any, n: int = 1, **_: Any) -> dict[str, str]:
    """Shrink the pool by n slots, and never below one."""
    consumer = state.consumer
    if consumer.controller.autoscaler:
        return {"error": "a worker with --autoscale changes its size by itself."}
    before = consumer.pool.num_processes
    if n >= before:
        return {
            "error": f"it executes {before} at once and must keep one. "
            "Pause its queues to let it rest, or shut it down."
        }
    try:
        consumer.pool.shrink(n)
    except ValueError as error:
        # Celery gives up those that rest, and only then says that it found too few of them.
        given_up = before - consumer.pool.num_processes
        return {"error": f"{error} It gave up {given_up} of {n} before."}
    finally:
        consumer._update_prefetch_count(consumer.pool.num_processes - before)
    return {"ok": "pool will shrink"}
