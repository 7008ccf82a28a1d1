"""Measures what taking and acknowledging a message from RabbitMQ costs; prints a Markdown table.

python bench/transport.py                  kombu's transport and ours, 5,000 messages of Celery's

A loop of kombu's reads, and does what a worker's does but for executing anything: it makes each
message and acknowledges it in its next turn. Rounds go in turn; what is told is their median.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub, set_event_loop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import rabbitmq_server

TRANSPORTS = {"kombu's": "pyamqp", "ours": "celeriac.amqp_transport:Transport"}
QUEUE = Queue("bench", queue_arguments={"x-queue-type": "quorum"})


def main() -> None:
    """Start RabbitMQ, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--prefetch", type=int, nargs="+", default=[4, 32, 320])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder,
        rabbitmq_server(Path(folder)) as rabbitmq,
        rabbitmq.fresh_vhost() as url,
    ):
        print("| prefetch | transport | CPU a message |\n| ---: | --- | ---: |")
        for prefetch in options.prefetch:
            taken: dict[str, list[float]] = {name: [] for name in TRANSPORTS}
            for _ in range(options.rounds):
                for name, transport in TRANSPORTS.items():
                    publish(url, options.messages)
                    taken[name].append(cpu_us(url, transport, prefetch, options.messages))
            for name, each in taken.items():
                print(f"| {prefetch} | {name} | {statistics.median(each):,.0f} µs |", flush=True)


def publish(url: str, messages: int) -> None:
    """Fill the queue as Celery does."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(task_queues=[QUEUE], task_default_queue=QUEUE.name)
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for number in range(messages):
            app.send_task("bench.noop", (number, 1), producer=producer)
    app.close()


def cpu_us(url: str, transport: str, prefetch: int, messages: int) -> float:
    """Empty the queue; gives this process's processor time for each message."""
    hub, taken = Hub(), 0
    set_event_loop(hub)

    def take(message: Any) -> None:
        nonlocal taken
        taken += 1
        hub.call_soon(message.ack)

    with Connection(url, transport=transport) as connection:
        consumer = Consumer(connection.default_channel, [QUEUE], on_message=take, accept=["json"])
        consumer.qos(prefetch_count=prefetch)
        connection.register_with_event_loop(hub)
        consumer.consume()
        started_s = time.process_time()
        while taken < messages:
            hub.run_once()
        used_s = time.process_time() - started_s
        hub.run_once()
    return used_s * 1e6 / messages


if __name__ == "__main__":
    main()
