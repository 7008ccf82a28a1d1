"""Measures how many submissions by HTTP a second are confirmed; prints a Markdown table.

python bench/submit.py                                  one by one and in bulk, on both brokers
python bench/submit.py --brokers rabbitmq --processes 2 --connections 64
python bench/submit.py --profile                        where the time of one submission goes

"stock" is Flask with `apply_async` and publisher confirms, behind the same server as ours. Each
round takes all of them in turn, so that they meet the same machine; what counts are the ratios.
`wrk` must be on the PATH.
"""

import argparse
import cProfile
import os
import pstats
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from batch import send

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening
from servers import clean_environment, rabbitmq_server, valkey_server

HERE = Path(__file__).resolve().parent
PATH = "/api/v1/tasks/bench.noop/runs"
POST = """
wrk.method = "POST"
wrk.body = '{"args": {"text": "hello"}}'
wrk.headers["Content-Type"] = "application/json"
done = function(summary) io.write("Refused: ", summary.errors.status, "\\n") end
"""
TASKS = """
from celery import shared_task
@shared_task(name="bench.noop")
def noop(text: str = "") -> None: pass
@shared_task(name="text.reverse")
def reverse(text: str = "") -> None: pass
"""
OURS = ("-m", "celeriac", "web", "--port")
STOCK = (str(HERE / "stock_submit.py"), "serve")


@dataclass(frozen=True)
class Measured:
    """What a round gave."""

    each_s: float
    cpu_us: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def main() -> None:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--brokers", nargs="+", default=["rabbitmq", "valkey"])
    parser.add_argument("--only", nargs="+", default=["stock", "ours"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32, help="of all clients together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--lines", type=int, default=20_000, help="of a batch; 0 leaves them out")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder:
        (Path(folder) / "bench_tasks.py").write_text(TASKS)
        (Path(folder) / "post.lua").write_text(POST)
        for broker in options.brokers:
            with serving(broker, Path(folder)) as servers:
                measure_all(broker, servers, Path(folder), options)


@contextmanager
def serving(broker: str, folder: Path) -> Iterator[tuple[Callable[[], Any], str]]:
    """Run a broker, of which each round has a fresh part, and Valkey for the rest."""
    place = folder / broker
    (place / "valkey").mkdir(parents=True)
    with valkey_server(place / "valkey") as valkey:
        results = valkey.url.replace("/0", "/1")

        def fresh_valkey() -> AbstractContextManager[str]:
            valkey.flush()
            return nullcontext(valkey.url)

        if broker == "valkey":
            yield fresh_valkey, results
        else:
            with rabbitmq_server(place) as rabbitmq:

                def fresh_vhost() -> AbstractContextManager[str]:
                    valkey.flush()
                    return rabbitmq.fresh_vhost()

                yield fresh_vhost, results


def measure_all(
    broker: str,
    servers: tuple[Callable[[], Any], str],
    folder: Path,
    options: argparse.Namespace,
) -> None:
    """Measure all side by side and print a row for each."""
    fresh, results = servers
    if options.profile:
        with fresh() as address:
            return profile(environment(folder, address, results))
    rounds: dict[str, list[Measured]] = {}
    for _ in range(options.rounds):
        for who in options.only:
            with fresh() as address:
                given = environment(folder, address, results)
                one = one_by_one(STOCK if who == "stock" else OURS, given, folder, options)
            print(f"  {broker} {who}: {one}", file=sys.stderr)
            rounds.setdefault(f"one by one, {who}", []).append(one)
            if options.lines:
                with fresh() as address:
                    given = environment(folder, address, results)
                    many = (stock_bulk if who == "stock" else our_bulk)(given, folder, options)
                print(f"  {broker} {who} bulk: {many}", file=sys.stderr)
                rounds.setdefault(f"bulk, {who}", []).append(many)
    print_table(broker, rounds, options)


def print_table(
    broker: str, rounds: dict[str, list[Measured]], options: argparse.Namespace
) -> None:
    """Print the medians."""
    print(f"\n{broker}: medians of {options.rounds}, {options.processes} processes one by one, ")
    print(f"{options.connections} connections; bulk is one process\n")
    print("| submissions | each second | CPU of the clients' process | p50 | p99 |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, found in rounds.items():
        rate, cpu, p50, p99 = (
            statistics.median(column)
            for column in zip(
                *((m.each_s, m.cpu_us, m.p50_ms, m.p99_ms) for m in found), strict=True
            )
        )
        print(f"| {name} | {rate:,.0f} | {cpu:,.0f} µs | {p50:.1f} ms | {p99:.1f} ms |")


def environment(folder: Path, broker: str, results: str) -> dict[str, str]:
    """Give the environment of whoever submits."""
    return clean_environment(
        folder,
        CELERIAC_BROKER_URL=broker,
        CELERIAC_REDIS_URL=results,
        CELERIAC_TASKS="bench_tasks",
        CELERIAC_AUTHENTICATION="off",
        CELERIAC_RATE_LIMIT_ADDRESS="0",
        PYTHONPATH=f"{folder}{os.pathsep}{HERE}",
    )


# --- One by one ----------------------------------------------------------------------------------


def one_by_one(
    command: Sequence[str], given: dict[str, str], folder: Path, options: argparse.Namespace
) -> Measured:
    """Have clients submit at the same time for some seconds."""
    with ExitStack() as stack:
        webs = [stack.enter_context(web(command, given, folder)) for _ in range(options.processes)]
        load(webs, 1, folder, options)
        before_s = [cpu_s(process) for process, _ in webs]
        texts = load(webs, options.seconds, folder, options)
        used_s = sum(cpu_s(process) for process, _ in webs) - sum(before_s)
    done = sum(int(found(r"(\d+) requests in", text)) for text in texts)
    assert not sum(int(found(r"Refused: (\d+)", text)) for text in texts), texts
    rate = sum(float(found(r"Requests/sec:\s+([\d.]+)", text)) for text in texts)
    p50, p99 = (max(in_ms(percent, text) for text in texts) for percent in ("50%", "99%"))
    return Measured(rate, used_s * 1e6 / done, p50, p99)


@contextmanager
def web(
    command: Sequence[str], given: dict[str, str], folder: Path
) -> Iterator[tuple[psutil.Process, int]]:
    """Run one process that takes submissions."""
    port = free_port()
    log = folder / f"web-{port}.log"
    process = ChildProcess([sys.executable, *command, str(port)], log, given, folder)
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=90)
        process.check_running()
        yield psutil.Process(process.pid), port
    finally:
        process.kill()


def load(
    webs: Sequence[tuple[psutil.Process, int]],
    seconds: int,
    folder: Path,
    options: argparse.Namespace,
) -> list[str]:
    """Load all processes at the same time; gives what was measured of each."""
    clients = [
        subprocess.Popen(
            ["wrk", "-t1", f"-c{options.connections // len(webs)}", f"-d{seconds}", "--latency",
             "--timeout=10", "-s", str(folder / "post.lua"), f"http://{LOOPBACK}:{port}{PATH}"],
            stdout=subprocess.PIPE, text=True,
        )
        for _, port in webs
    ]  # fmt: skip
    return [client.communicate()[0] for client in clients]


def found(pattern: str, text: str) -> str:
    """Give what `wrk` says."""
    match = re.search(pattern, text)
    assert match, text
    return match[1]


def in_ms(percentile: str, text: str) -> float:
    """Give a latency in milliseconds."""
    match = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    assert match, text
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def cpu_s(process: psutil.Process) -> float:
    """Give the processor time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


# --- In bulk -------------------------------------------------------------------------------------


def our_bulk(given: dict[str, str], folder: Path, options: argparse.Namespace) -> Measured:
    """Send one batch."""
    with web(OURS, given, folder) as (process, port):
        send(port, 1_000, 1)
        before_s, began_s = cpu_s(process), time.monotonic()
        accepted, _ = send(port, options.lines, 1)
        took_s, used_s = time.monotonic() - began_s, cpu_s(process) - before_s
    assert accepted == options.lines
    return Measured(accepted / took_s, used_s * 1e6 / accepted)


def stock_bulk(given: dict[str, str], folder: Path, options: argparse.Namespace) -> Measured:
    """Submit in a loop."""
    command = [sys.executable, str(HERE / "stock_submit.py"), "loop", str(options.lines // 10)]
    done = subprocess.run(
        command, env=given, cwd=folder, capture_output=True, text=True, check=True
    )
    rate, cpu_us = done.stdout.split()
    return Measured(float(rate), float(cpu_us))


# --- Where the time goes -------------------------------------------------------------------------


def profile(given: dict[str, str]) -> None:
    """Submit 2,000 runs in this process, one after the other, under Python's profiler."""
    os.environ.update(given)
    sys.path[:0] = given["PYTHONPATH"].split(os.pathsep)
    from celeriac.wsgi import app

    client = app.test_client()

    def submit(count: int) -> None:
        for _ in range(count):
            assert client.post(PATH, json={"args": {"text": "hello"}}).status_code == 202

    submit(100)
    watched = cProfile.Profile(time.thread_time)
    began_s = time.thread_time()
    submit(1_000)
    print(f"{(time.thread_time() - began_s) * 1e3:.0f} µs of this thread without a profiler")
    watched.runcall(submit, 2_000)
    print(f"{threading.active_count()} threads")
    pstats.Stats(watched).sort_stats("cumulative").print_stats(90)


if __name__ == "__main__":
    main()
