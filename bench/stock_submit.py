"""What `submit.py` compares with: stock Celery, behind Flask or in a loop, confirmed as well.

python bench/stock_submit.py serve PORT
python bench/stock_submit.py loop COUNT          prints how many a second, and the CPU of each
"""

import os
import sys
import time
from typing import Any

from celery import Celery
from flask import Flask, request
from kombu import Exchange, Queue

from celeriac.web.gateway import serve


def stock_task() -> Any:
    """Give a task of an app of stock Celery whose messages are confirmed."""
    broker = os.environ["CELERIAC_BROKER_URL"]
    app = Celery("stock", broker=broker, backend=os.environ["CELERIAC_REDIS_URL"])
    app.conf.task_send_sent_event = True
    if broker.startswith("amqp"):
        app.conf.broker_transport_options = {"confirm_publish": True}
        app.conf.task_queues = [
            Queue("stock", Exchange("stock", "topic"), "stock",
                  queue_arguments={"x-queue-type": "quorum"})
        ]  # fmt: skip
    app.conf.task_default_queue = "stock"

    @app.task(name="bench.noop")
    def noop(text: str = "") -> None:
        pass

    return noop


def serve_stock(port: int) -> None:
    """Serve Flask with `apply_async`."""
    task, app = stock_task(), Flask("stock")

    @app.post("/api/v1/tasks/bench.noop/runs")
    def submit() -> tuple[dict[str, str], int]:
        return {"id": task.apply_async(kwargs=request.get_json()["args"]).id}, 202

    serve(app, "127.0.0.1", port)


def loop_stock(count: int) -> None:
    """Submit in a loop, and print how many a second."""
    task = stock_task()
    for _ in range(100):
        task.apply_async(("hello",))
    before_s, began_s = time.process_time(), time.monotonic()
    for _ in range(count):
        task.apply_async(("hello",))
    used_s = time.process_time() - before_s
    print(count / (time.monotonic() - began_s), used_s * 1e6 / count)


if __name__ == "__main__":
    {"serve": serve_stock, "loop": loop_stock}[sys.argv[1]](int(sys.argv[2]))
