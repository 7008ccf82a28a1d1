"""Measures a large batch: lines a second, and the web's memory before, during and after it.

python bench/batch.py                                  a million lines, on an embedded server
python bench/batch.py --lines 100000 --good 1          all of them good
python bench/batch.py --broker amqp://... --redis redis://...

The client sends everything before it reads anything. `--good` is the share of lines that become
runs; the others name a task that does not exist.
"""

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from processes import LOOPBACK
from servers import valkey_server
from web_process import WebProcess, running_web

CHUNK_LINES = 1000
GOOD = b'{"task": "text.reverse", "args": {"text": "hello"}, "options": {"tags": ["bench"]}}\n'
BAD = b'{"task": "no.such.task", "args": {"text": "hello"}}\n'


class Memory:
    """Watches how much memory a process holds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._is_over = threading.Event()
        self.most_mb = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def now_mb(self) -> float:
        """Give it in megabytes."""
        return float(self._process.memory_info().rss) / 1e6

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            self.most_mb = max(self.most_mb, self.now_mb())

    def stop(self) -> None:
        """Watch no longer."""
        self._is_over.set()


def main() -> None:
    """Start the servers that are not given, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--good", type=float, default=0.1, help="0 to 1")
    parser.add_argument("--broker")
    parser.add_argument("--redis")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celeriac-bench-")))
        broker, redis = options.broker, options.redis
        if not (broker and redis):
            server = stack.enter_context(valkey_server(folder))
            broker, redis = broker or server.url, redis or server.url.replace("/0", "/1")
        web = stack.enter_context(running_web(folder, broker, redis))
        measure(web, options.lines, options.good)


def measure(web: WebProcess, lines: int, good: float) -> None:
    """Send the lines, read the answers, print a row."""
    send(web.port, 5_000, good)  # So that what is imported late counts as before.
    memory = Memory(web.process.pid)
    before_mb = memory.now_mb()
    started_s = time.monotonic()
    accepted, refused = send(web.port, lines, good)
    took_s = time.monotonic() - started_s
    memory.stop()
    print("| lines | submitted | refused | seconds | lines/s | MB before | most | after |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {lines:,} | {accepted:,} | {refused:,} | {took_s:.1f} | {lines / took_s:,.0f} "
        f"| {before_mb:.0f} | {memory.most_mb:.0f} | {memory.now_mb():.0f} |"
    )


def send(port: int, lines: int, good: float) -> tuple[int, int]:
    """Send a batch; gives how many lines were accepted and refused."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=3600)
    headers = {"Content-Type": "application/x-ndjson"}
    connection.request("POST", "/api/v1/runs/batch", chunks(lines, good), headers)
    answers = connection.getresponse()
    accepted = sum(b'"id"' in line for line in answers)
    connection.close()
    return accepted, lines - accepted


def chunks(lines: int, good: float) -> Iterator[bytes]:
    """Give the lines, some at a time, the good ones evenly spread."""
    for start in range(0, lines, CHUNK_LINES):
        numbers = range(start, min(start + CHUNK_LINES, lines))
        yield b"".join(GOOD if int((n + 1) * good) > int(n * good) else BAD for n in numbers)


if __name__ == "__main__":
    main()
