"""The task that `bench/worker.py` measures, and the app of stock Celery that executes it.

`celery -A worker_tasks worker` is Celery as its documentation sets it up; Celeriac's own worker
takes the task by `CELERIAC_TASKS=worker_tasks`.
"""

import asyncio
import os
import time

from celery import Celery, shared_task

QUEUE = "celery_see"

_done = os.open(os.environ["BENCH_DONE"], os.O_WRONLY | os.O_APPEND)


@shared_task(name="bench.noop")
def noop(a: int, b: int) -> int:
    """Do nothing, but be counted: the file has as many bytes as calls were made."""
    os.write(_done, b".")
    return a + b


@shared_task(name="bench.wait")
def wait(a: int, b: int) -> int:
    """Wait for 10 ms, as a thread does."""
    time.sleep(0.01)
    return noop.run(a, b)  # type: ignore[no-any-return]


@shared_task(name="bench.await")
async def wait_on_loop(a: int, b: int) -> int:
    """Wait for 10 ms, as a coroutine does."""
    await asyncio.sleep(0.01)
    return noop.run(a, b)  # type: ignore[no-any-return]


app = Celery("stock", set_as_current=False)
app.conf.update(
    broker_url=os.environ["BENCH_BROKER"],
    broker_transport=os.environ.get("BENCH_TRANSPORT"),
    result_backend=os.environ["BENCH_RESULTS"],
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_default_queue_type="quorum" if os.environ["BENCH_BROKER"].startswith("amqp") else None,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    worker_send_task_events=True,
)
