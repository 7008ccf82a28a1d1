"""Measures how fast a worker executes a task that does nothing; prints a Markdown table.

python bench/worker.py                                 stock Celery and ours, on both brokers
python bench/worker.py --only stock-solo ours-solo --brokers rabbitmq --rounds 1
python bench/worker.py --only stock-solo lean-solo --brokers rabbitmq
                                       stock Celery without and with our transport
python bench/worker.py --wait                          runs that wait for 10 ms, 100 at a time

Results are stored, events sent, and messages acknowledged late. Each round starts every worker in
turn, so that all of them meet the same machine; what is told is the median of the rounds. A round
begins with a full queue, and is over when each run's result says SUCCESS.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Any

import psutil
from redis import Redis

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from processes import ChildProcess
from servers import RedisServer, clean_environment, rabbitmq_server, valkey_server

HERE = Path(__file__).parent
LOOK_S = 0.02
WARM_UP = 0.2
"""The share of the runs that are over before the clock starts."""
TOGETHER = 100
PREFETCH = "32"
"""Messages for each thread or child: the more, the faster is stock Celery."""

# One process executes in each: a child of its own under prefork.
POOLS = {
    "prefork": ["--pool=prefork", "--concurrency=1"],
    "threads": ["--pool=threads", "--concurrency=10"],
    "solo": ["--pool=solo", "--concurrency=1"],
    "hybrid": ["--pool=hybrid", "--concurrency=10"],
}
STOCK = [sys.executable, "-m", "celery", "--app=worker_tasks", "worker", "--loglevel=WARNING"]
OURS = [
    *(sys.executable, "-m", "celeriac", "worker"),
    *("--prefetch-multiplier", PREFETCH, "--loglevel=WARNING"),
]
WORKERS = {
    **{f"stock-{pool}": [*STOCK, *POOLS[pool]] for pool in ("prefork", "threads", "solo")},
    **{f"lean-{pool}": [*STOCK, *POOLS[pool]] for pool in ("prefork", "threads", "solo")},
    **{f"ours-{pool}": [*OURS, *options] for pool, options in POOLS.items()},
}
USUAL = [name for name in WORKERS if not name.startswith("lean")]
WAITING = ("stock-threads", "ours-threads", "ours-hybrid")
LEAN = "celeriac.amqp_transport:Transport"
"""For stock Celery on RabbitMQ."""
FEED = """
import sys
from worker_tasks import QUEUE, app
if sys.argv[2] == "ours":
    from celeriac.app import create_app
    from celeriac.settings import Settings
    app = create_app(Settings(), publisher=True)
app.conf.result_backend = "disabled"
with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
    for number in range(int(sys.argv[1])):
        sent = app.send_task(sys.argv[3], (number, 1), queue=QUEUE, producer=producer)
        print(sent.id)
"""


@dataclass(frozen=True)
class Measured:
    """One worker's numbers of one round."""

    runs_per_s: float
    cpu_us: float
    """Of the worker with its children, for each run."""
    memory_mib: float


@dataclass
class Load:
    """A full queue, and what tells how much of it is done."""

    ids: Sequence[str]
    done: Path
    results: Redis

    def executed(self) -> int:
        """Give how many runs have been executed."""
        return self.done.stat().st_size

    def is_over(self) -> bool:
        """Tell whether the result of each run is there."""
        if self.executed() < len(self.ids):
            return False
        keys = [f"celery-task-meta-{task_id}" for task_id in self.ids]
        found: Any = self.results.mget(keys)
        return all(meta and b'"SUCCESS"' in meta for meta in found)


@dataclass(frozen=True)
class Servers:
    """A broker that is empty for each worker, since theirs are not the same queues; and Valkey."""

    broker: Callable[[], AbstractContextManager[str]]
    results: RedisServer


def main() -> None:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=WORKERS)
    parser.add_argument("--wait", action="store_true", help="runs that wait for 10 ms")
    parser.add_argument("--brokers", nargs="+", default=["rabbitmq", "valkey"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--profile", type=Path, help="keep a profile of our solo worker here")
    options = parser.parse_args()
    options.only = options.only or (WAITING if options.wait else USUAL)
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder:
        for broker in options.brokers:
            with serving(broker, Path(folder)) as servers:
                print(f"\n{broker}: {options.runs:,} runs, medians of {options.rounds}\n")
                measure_all(servers, Path(folder), options)


@contextmanager
def serving(broker: str, folder: Path) -> Iterator[Servers]:
    """Run a broker, and a server for results."""
    place = folder / broker
    (place / "valkey").mkdir(parents=True)
    with valkey_server(place / "valkey") as valkey:
        if broker == "valkey":
            yield Servers(lambda: nullcontext(valkey.url), valkey)
        else:
            with rabbitmq_server(place) as rabbitmq:
                yield Servers(rabbitmq.fresh_vhost, valkey)


def measure_all(servers: Servers, folder: Path, options: argparse.Namespace) -> None:
    """Measure all workers side by side and print a row for each."""
    rounds: dict[str, list[Measured]] = {name: [] for name in options.only}
    for _ in range(options.rounds):
        for name in options.only:
            with servers.broker() as broker:
                rounds[name].append(measure(name, broker, servers.results, folder, options))
            print(f"  {name}: {rounds[name][-1]}", file=sys.stderr)
    print("| worker | runs/s | CPU a run | memory |")
    print("| --- | ---: | ---: | ---: |")
    for name, measured in rounds.items():
        speed = statistics.median(each.runs_per_s for each in measured)
        cpu_us = statistics.median(each.cpu_us for each in measured)
        memory_mib = statistics.median(each.memory_mib for each in measured)
        print(f"| {name} | {speed:,.0f} | {cpu_us:,.0f} µs | {memory_mib:.0f} MiB |")


def measure(
    name: str, broker: str, valkey: RedisServer, folder: Path, options: argparse.Namespace
) -> Measured:
    """Fill a queue and let one worker empty it."""
    done = folder / "done"
    done.write_bytes(b"")
    results = valkey.url.replace("/0", "/1")
    environment = clean_environment(
        folder,
        BENCH_DONE=str(done),
        BENCH_BROKER=broker,
        BENCH_RESULTS=results,
        BENCH_PREFETCH=PREFETCH,
        CELERIAC_BROKER_URL=broker,
        CELERIAC_REDIS_URL=results,
        CELERIAC_TASKS="worker_tasks",
        PYTHONPATH=str(HERE),
    )
    if name.startswith("lean"):
        environment["BENCH_TRANSPORT"] = LEAN
    valkey.flush()
    client = Redis.from_url(results)
    load = Load(feed(options.runs, name, options.wait, environment), done, client)
    command = [*WORKERS[name], *([f"--concurrency={TOGETHER}"] if options.wait else [])]
    worker = ChildProcess(
        profiled(command, options.profile), folder / "worker.log", environment, folder
    )
    worker.start()
    try:
        return measured(worker, load)
    finally:
        worker.stop()
        client.close()


def feed(runs: int, worker: str, waits: bool, environment: dict[str, str]) -> list[str]:
    """Send messages as the clients of this worker send them; gives the runs' identifiers."""
    whose, _, pool = worker.partition("-")
    task = ("bench.await" if pool == "hybrid" else "bench.wait") if waits else "bench.noop"
    command = [sys.executable, "-c", FEED, str(runs), whose, task]
    sent = run(command, env=environment, capture_output=True, text=True, check=False)
    if sent.returncode:
        raise SystemExit(sent.stderr)
    return sent.stdout.split()


def profiled(command: list[str], to: Path | None) -> list[str]:
    """Let Python's profiler watch a worker, which is slower then."""
    if to is None:
        return command
    return [command[0], "-m", "cProfile", "-o", str(to.resolve()), *command[1:]]


def measured(worker: ChildProcess, load: Load) -> Measured:
    """Wait until the worker is warm, then until all is done."""
    processes = psutil.Process(worker.pid)
    while load.executed() < len(load.ids) * WARM_UP:
        worker.check_running()
        time.sleep(LOOK_S)
    before, started_s, cpu_s = load.executed(), time.perf_counter(), cpu_of(processes)
    while not load.is_over():
        worker.check_running()
        time.sleep(LOOK_S)
    took_s, runs = time.perf_counter() - started_s, len(load.ids) - before
    cpu_us = (cpu_of(processes) - cpu_s) * 1e6 / runs
    return Measured(runs / took_s, cpu_us, memory_of(processes))


def cpu_of(process: psutil.Process) -> float:
    """Give the seconds of processor time that a process and its children have taken."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def memory_of(process: psutil.Process) -> float:
    """Give the memory of a process and its children in MiB; what they share counts once."""
    family = (process, *process.children(recursive=True))
    held = sum(each.memory_full_info().pss for each in family)
    return float(held) / 2**20


if __name__ == "__main__":
    main()
