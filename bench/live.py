"""Measures what a thousand viewers of live events cost those who make short requests.

python bench/live.py                          1,000 viewers of `celeriac up`, 20 s without and with
python bench/live.py --viewers 200 --seconds 5

It starts `celeriac up` in a temporary folder: the embedded server, a real worker, one web process.
Half of the viewers follow all events, half one run each (ten viewers a run). Meanwhile this process
submits runs and reads runs at a steady pace and notes how long each request takes; the viewers live
in a process of their own. One further client asks for all events and never reads.
"""

import argparse
import asyncio
import bisect
import http.client
import json
import multiprocessing
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

HOST = "127.0.0.1"
PAUSE_S = 0.05
"""Between two requests: 10 submissions and 10 readings a second, if answers take no time."""
VIEWERS_A_RUN = 10
SETTLE_S = 120


def main() -> None:
    """Start everything, measure without and with viewers, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with celeriac_up() as (port, web):
        request(port, "GET", "/api/v1/tasks")
        alone, _ = short_requests(port, options.seconds)
        rss_alone = web.memory_info().rss
        crowded, seen = with_viewers(port, options, web)
    print(f"\n| short requests | no viewer | {options.viewers:,} viewers |\n| --- | ---: | ---: |")
    for verb in alone:
        for name, share in (("p50", 50), ("p99", 99)):
            times = [percentile(found[verb], share) for found in (alone, crowded)]
            print(f"| {verb} {name} | {times[0]:.1f} ms | {times[1]:.1f} ms |")
    print(f"| web, resident memory | {rss_alone >> 20} MiB | {seen.pop('rss') >> 20} MiB |")
    print("\n| viewers | |\n| --- | ---: |")
    for name, value in seen.items():
        print(f"| {name} | {value} |")


@contextmanager
def celeriac_up() -> Iterator[tuple[int, psutil.Process]]:
    """Run `celeriac up`; gives the port and the process of the web."""
    port, flower_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder:
        command = [sys.executable, "-m", "celeriac", "up", "--data-dir", folder]
        command += ["--port", str(port), "--flower-port", str(flower_port)]
        with Path(folder, "up.log").open("wb") as log:
            up = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            until_s = time.monotonic() + 60
            while time.monotonic() < until_s and not is_ready(port):
                time.sleep(0.2)
            children = psutil.Process(up.pid).children()
            yield port, next(child for child in children if child.cmdline()[-1] == "web")
        finally:
            up.terminate()
            up.wait(30)


def free_port() -> int:
    """Find a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_ready(port: int) -> bool:
    """Tell whether the web, its broker and its Redis answer."""
    with suppress(OSError):
        return bool(urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5).status == 200)
    return False


def request(port: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Make one request on a connection of its own; gives the JSON of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        data = response.read()
        assert response.status < 300, (response.status, data)
        return json.loads(data)
    finally:
        connection.close()


def submit(port: int, task: str, **args: Any) -> str:
    """Submit a run; gives its identifier."""
    return str(request(port, "POST", f"/api/v1/tasks/{task}/runs", {"args": args})["id"])


def short_requests(port: int, seconds: float) -> tuple[dict[str, list[float]], str]:
    """Submit and read for so long; gives the times in ms by verb, and the last run."""
    times: dict[str, list[float]] = {"POST": [], "GET": []}
    until_s, run_id = time.monotonic() + seconds, ""
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        run_id = submit(port, "text.reverse", text="celeriac")
        times["POST"].append((time.perf_counter() - began_s) * 1000)
        time.sleep(PAUSE_S)
        began_s = time.perf_counter()
        request(port, "GET", f"/api/v1/runs/{run_id}")
        times["GET"].append((time.perf_counter() - began_s) * 1000)
        time.sleep(PAUSE_S)
    return times, run_id


def percentile(values: list[float], share: int) -> float:
    """Give the value that so many percent are below."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def with_viewers(
    port: int, options: argparse.Namespace, web: psutil.Process
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Measure the same with viewers; gives the times, and what the viewers have seen."""
    of_all = options.viewers // 2
    watched = [
        submit(port, "primes.count", limit=20_000_000)
        for _ in range(max(1, (options.viewers - of_all) // VIEWERS_A_RUN))
    ]
    ours, theirs = multiprocessing.Pipe()
    viewers = multiprocessing.get_context("spawn").Process(
        target=view, args=(port, of_all, options.viewers - of_all, watched, theirs), daemon=True
    )
    viewers.start()
    silent = client_that_never_reads(port)
    assert ours.recv() == "all connected"
    began_s = time.monotonic()
    times, last = short_requests(port, options.seconds)
    took_s = time.monotonic() - began_s
    rss = web.memory_info().rss
    request(port, "GET", f"/api/v1/runs/{last}", Prefer=f"wait={SETTLE_S}")
    ours.send(last)
    assert ours.poll(SETTLE_S), "the viewers give no account"
    seen = ours.recv() | {"rss": rss}
    seen["events delivered a second"] = f"{seen.pop('delivered') / took_s:,.0f}"
    seen["client that never reads"] = "cut off" if is_cut_off(silent) else "still connected"
    return times, seen


def client_that_never_reads(port: int) -> socket.socket:
    """Ask for all events, with as little room for them as the system allows."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    return client


def is_cut_off(client: socket.socket) -> bool:
    """Tell whether the server has ended the stream: what is in its buffers comes, and the end."""
    client.settimeout(2)
    until_s = time.monotonic() + 10
    try:
        while time.monotonic() < until_s:
            if not client.recv(65_536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def view(port: int, of_all: int, of_one: int, watched: list[str], pipe: Connection) -> None:
    """Be the viewers, in a process of their own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    asyncio.run(_view(port, of_all, of_one, watched, pipe))


async def _view(port: int, of_all: int, of_one: int, watched: list[str], pipe: Connection) -> None:
    everything = [Viewer(port, "/api/v1/events") for _ in range(of_all)]
    single = [
        Viewer(port, f"/api/v1/runs/{watched[n % len(watched)]}/events") for n in range(of_one)
    ]
    for viewer in (*everything, *single):
        await viewer.connect()
    reading = [asyncio.create_task(viewer.read()) for viewer in (*everything, *single)]
    pipe.send("all connected")
    last = await asyncio.to_thread(pipe.recv)
    until_s = time.monotonic() + SETTLE_S / 2
    while time.monotonic() < until_s and not all(
        last.encode() in viewer.ended for viewer in everything
    ):
        await asyncio.sleep(0.1)
    for task in reading:
        task.cancel()
    union = set().union(*(viewer.ids for viewer in everything))
    places = sorted(map(_place, union))
    complete = sum(viewer.is_complete(places) for viewer in everything)
    ended = sum(bool(viewer.ended) or viewer.is_over for viewer in single)
    pipe.send(
        {
            "events of all runs": f"{len(union):,}",
            "viewers of all that missed none": f"{complete} of {of_all}",
            "viewers of one run that saw its end": f"{ended} of {of_one} (others still wait)",
            "delivered": sum(len(viewer.ids) for viewer in (*everything, *single)),
        }
    )


class Viewer:
    """One client of a stream, which remembers the events that it got and the runs that ended."""

    def __init__(self, port: int, path: str) -> None:
        self.ids: set[bytes] = set()
        self.ended: set[bytes] = set()
        self.is_over = False
        self._port, self._path = port, path

    async def connect(self) -> None:
        """Connect, and wait for the answer's beginning."""
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        self._writer.write(f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await self._reader.readuntil(b"retry: 2000")

    async def read(self) -> None:
        """Read until the stream ends."""
        rest = b""
        while data := await self._reader.read(65_536):
            *messages, rest = (rest + data).split(b"\n\n")
            for message in messages:
                self._take(message)
        self.is_over = True

    def _take(self, message: bytes) -> None:
        _, found, after = message.partition(b"id: ")
        if found:
            self.ids.add(after.partition(b"\n")[0])
        if b"event: succeeded" in message:
            self.ended.add(message.partition(b'"run":"')[2].partition(b'"')[0])

    def is_complete(self, places: list[tuple[int, int]]) -> bool:
        """Tell whether it got all that anybody got since its first event."""
        if not self.ids:
            return False
        first = bisect.bisect_left(places, min(map(_place, self.ids)))
        return len(self.ids) == len(places) - first


def _place(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)


if __name__ == "__main__":
    main()
