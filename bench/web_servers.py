"""Measures which server runs a Flask app best while live streams are open; prints a Markdown table.

python bench/web_servers.py                       every candidate whose package is installed
python bench/web_servers.py --only gateway --streams 1000

Each candidate serves the app below from one process on loopback. `wrk` must be on the PATH.
"""

import argparse
import asyncio
import importlib.util
import io
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from flask import Flask, Response, request
from werkzeug.test import run_wsgi_app

MIB = 1024 * 1024
BLOCK, BLOCKS = b"x" * 65536, 4096
TICK = b"data: tick\n\n"
HERE = Path(__file__).resolve().parent

POOL = ThreadPoolExecutor(4)
POST_SCRIPT = """
wrk.method = "POST"
wrk.body = '{"args": {"text": "some hundred bytes of JSON", "times": 3}, "options": {}}'
wrk.headers["Content-Type"] = "application/json"
"""

flask_app = Flask(__name__)


@flask_app.get("/")
def hello() -> str:
    return "hello"


@flask_app.post("/echo")
def echo() -> dict[str, Any]:
    return dict(request.get_json())


@flask_app.get("/big")
def big() -> Response:
    return Response(BLOCK for _ in range(BLOCKS))


@flask_app.get("/stream")
def stream() -> Response:
    """Send a message a second: without a thread under the gateway, else in the server's way."""
    if "celeriac.gateway" not in request.environ:
        return Response(blocking_ticks(), mimetype="text/event-stream")
    from celeriac.web.gateway import live_response

    return live_response(ticks)


async def ticks() -> AsyncGenerator[bytes, None]:
    while True:
        yield TICK
        await asyncio.sleep(1)


def blocking_ticks() -> Iterator[bytes]:
    while True:
        yield TICK
        time.sleep(1)


class LeanRsgi:
    """The least adapter that could be written for RSGI, to see what that interface can reach."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        chunk, pause_s = {"/stream": (TICK, 1), "/big": (BLOCK, 0)}.get(scope.path, (b"", 0))
        if chunk:
            transport = protocol.response_stream(200, [])
            for _ in range(BLOCKS):
                await transport.send_bytes(chunk)
                await asyncio.sleep(pause_s)
            return
        body = await protocol() if scope.method == "POST" else b""
        loop = asyncio.get_running_loop()
        protocol.response_bytes(*await loop.run_in_executor(POOL, self.call, scope, body))

    def call(self, scope: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        length, kind = str(len(body)), scope.headers.get("content-type", "")
        environ = {"REQUEST_METHOD": scope.method, "PATH_INFO": scope.path, "SERVER_NAME": "bench"}
        environ |= {"CONTENT_TYPE": kind, "CONTENT_LENGTH": length, "SERVER_PORT": "80"}
        environ |= {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body)}
        items, status, headers = run_wsgi_app(flask_app, environ)
        return int(status[:3]), list(headers), b"".join(items)


rsgi_app = LeanRsgi()


def make_a2wsgi_app() -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(flask_app, workers=4)  # type: ignore[arg-type]


GUNICORN = "-m gunicorn web_servers:flask_app -w1 -b127.0.0.1:{port} --log-level=error"
GRANIAN = "-m granian --port={port} --no-ws --no-log --workers-kill-timeout=3 web_servers:"
A2WSGI = "make_a2wsgi_app --factory --interface=asginl"
WSGI = f"{GRANIAN}flask_app --interface=wsgi --blocking-threads="
CANDIDATES = (  # The name, the package it needs, and the arguments of `python`.
    ("gunicorn sync", "gunicorn", GUNICORN),
    ("gunicorn gthread, 4 threads", "gunicorn", f"{GUNICORN} -kgthread --threads=4"),
    ("gunicorn gevent", "gevent", f"{GUNICORN} -kgevent"),
    *((f"granian WSGI, {n} threads", "granian", f"{WSGI}{n}") for n in (1, 2, 4, 64, 256)),
    ("granian ASGI, a2wsgi", "a2wsgi", f"{GRANIAN}{A2WSGI}"),
    ("granian RSGI, lean adapter", "granian", f"{GRANIAN}rsgi_app --interface=rsgi"),
    ("granian ASGI, our gateway", "granian", "web_servers.py --serve-gateway={port}"),
)


@contextmanager
def serving(arguments: str) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, *arguments.format(port=port).split()]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=HERE, start_new_session=True, **quiet)
    try:
        wait_until_it_answers(port)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(6)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_until_it_answers(port: int) -> None:
    for _ in range(300):
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/", timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(port)


async def measure(port: int, server: psutil.Process, options: argparse.Namespace) -> list[str]:
    cells = [await load(port, path, options) for path in ("/", "/echo")]
    stalled = await measure_stalled_reader(port, server)
    counts = [0] * options.streams
    viewers = [asyncio.create_task(view(port, counts, n)) for n in range(options.streams)]
    await asyncio.sleep(2)
    before, began = list(counts), time.monotonic()
    cells.append(await load(port, "/echo", options))
    expected = 0.7 * (time.monotonic() - began)
    held = sum(now - then >= expected for now, then in zip(counts, before, strict=True))
    cells += [str(held), f"{rss_mib(server):.0f}", f"{stalled:+.0f}"]
    for viewer in viewers:
        viewer.cancel()
    await asyncio.gather(*viewers, return_exceptions=True)
    return cells


async def load(port: int, path: str, options: argparse.Namespace) -> str:
    command = ["wrk", "-t1", "-c16", f"-d{options.seconds}", "--latency", "--timeout=2"]
    command += ["-s", options.post_script] if path == "/echo" else []
    command.append(f"http://127.0.0.1:{port}{path}")
    rounds = [await run_wrk(command) for _ in range(options.rounds)]
    rate, p50, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
    return f"{rate:,.0f} · {p50:.1f} · {p99:.1f}" if rate else "none answered"


async def run_wrk(command: list[str]) -> tuple[float, float, float]:
    wrk = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    text = (await wrk.communicate())[0].decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return float(rate[1]) if rate else 0.0, in_ms("50%", text), in_ms("99%", text)


def in_ms(percentile: str, text: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0


async def view(port: int, counts: list[int], viewer: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /stream HTTP/1.1\r\nHost: bench\r\n\r\n")
    while data := await reader.read(4096):
        counts[viewer] += data.count(b"data:")


async def measure_stalled_reader(port: int, server: psutil.Process) -> float:
    """Give by how much the server grows for a client that asks for 256 MiB and reads none."""
    before = rss_mib(server)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(2)
        return rss_mib(server) - before


def rss_mib(server: psutil.Process) -> float:
    family = [server, *server.children(recursive=True)]
    return sum(process.memory_info().rss for process in family) / MIB


def print_table(options: argparse.Namespace) -> None:
    print("By 16 connections: requests a second · p50 ms · p99 ms.\n")
    print(f"| server | GET | POST | POST, {options.streams} streams | held | RSS | stalled |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, package, arguments in CANDIDATES:
        if options.only in name and importlib.util.find_spec(package):
            with serving(arguments) as (port, server):
                cells = asyncio.run(measure(port, server, options))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200, help="open streams in the second part")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; their median counts")
    parser.add_argument("--seconds", type=int, default=2, help="length of a round")
    parser.add_argument("--only", default="", help="candidates whose name contains this")
    parser.add_argument("--serve-gateway", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_gateway:
        from celeriac.web.gateway import serve

        return serve(flask_app, "127.0.0.1", options.serve_gateway)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(POST_SCRIPT)
        script.flush()
        options.post_script = script.name
        print_table(options)


if __name__ == "__main__":
    main()
