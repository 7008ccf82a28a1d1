"""The gateway under its real server: this file serves the app below, and speaks HTTP to it."""

import asyncio
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask, Response, request

from celeriac.web.gateway import Patience, answer_later, live_response, serve
from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening

MIB = 1024 * 1024
TICK_S = 0.1


app = Flask(__name__)
open_streams: list[str] = []


@app.get("/hello")
def hello() -> str:
    return "hello"


@app.get("/environ")
def environ() -> dict[str, str]:
    return {key: value for key, value in request.environ.items() if isinstance(value, str)}


@app.post("/digest")
def digest() -> dict[str, Any]:
    sha, size = hashlib.sha256(), 0
    while chunk := request.stream.read(MIB):
        sha.update(chunk)
        size += len(chunk)
    return {"sha256": sha.hexdigest(), "size": size}


@app.post("/lines")
def lines() -> Response:
    stream = request.stream
    return Response(b"seen " + line for line in stream)


@app.post("/limited")
def limited() -> dict[str, int]:
    request.max_content_length = MIB
    return {"size": len(request.get_data())}


@app.get("/big")
def big() -> Response:
    return Response(b"x" * MIB for _ in range(512))


@app.get("/half")
def half() -> Response:
    def items() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("the other half is missing")

    return Response(items())


@app.get("/live")
def live() -> Response:
    async def ticks() -> AsyncGenerator[bytes, None]:
        open_streams.append("live")
        try:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(TICK_S)
        finally:
            open_streams.remove("live")

    return live_response(ticks)


@app.get("/blocking")
def blocking() -> Response:
    def ticks() -> Iterator[bytes]:
        open_streams.append("blocking")
        try:
            while True:
                yield b"data: tick\n\n"
                time.sleep(TICK_S)
        finally:
            open_streams.remove("blocking")

    return Response(ticks(), mimetype="text/event-stream")


@app.get("/blocking/endless")
def endless() -> Response:
    def items() -> Iterator[bytes]:
        open_streams.append("endless")
        try:
            while True:
                yield b"x" * MIB
        finally:
            open_streams.remove("endless")

    return Response(items())


@app.get("/open")
def open_() -> list[str]:
    return open_streams


@app.get("/later/<float:seconds>")
def later(seconds: float) -> Response:
    def respond() -> tuple[dict[str, str], int]:
        return {"path": request.path}, 201

    return answer_later(respond, lambda: asyncio.sleep(seconds))


@app.get("/sleep/<float:seconds>")
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Site:
    """A running server; each call makes a connection of its own."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self.process, self.port = process, port

    def connect(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=30))

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        with self.connect() as connection:
            connection.request(method, path, **options)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def open(self, head: str) -> socket.socket:
        """Send the beginning of a request, and read nothing."""
        connection = socket.create_connection((LOOPBACK, self.port), timeout=30)
        connection.sendall(f"{head} HTTP/1.1\r\nHost: test\r\n".encode())
        return connection

    def open_streams(self) -> bytes:
        return self.get("/open").body

    @property
    def rss_mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / MIB


@contextmanager
def running_site(log_path: Path, grace_s: float = 20, *more: str) -> Iterator[Site]:
    port = free_port()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(port), str(grace_s), *more]
    process = ChildProcess(command, log_path, env, Path.cwd())
    process.start()
    try:
        eventually(lambda: is_listening(port), deadline_s=20)
        yield Site(process, port)
    finally:
        process.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site") / "log.txt") as site:
        yield site


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path / "log.txt") as site:
        yield site


@pytest.fixture(scope="module")
def impatient_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("impatient") / "log.txt", 20, "impatient") as site:
        yield site


def check_short_requests_are_quick(site: Site, count: int = 50) -> None:
    began = time.monotonic()
    for _ in range(count):
        assert site.get("/hello").body == b"hello"
    assert time.monotonic() - began < 20


def test_request_reaches_flask_as_it_was_sent(site: Site) -> None:
    with site.open("GET /environ/../environ?a=%20b") as connection:
        connection.sendall(b"Connection: close\r\n\r\n")
        assert b"404" in connection.recv(65536)
    answer = site.get("/environ?a=%20b", headers={"X-One": "1"}).body
    assert b'"QUERY_STRING":"a=%20b"' in answer
    assert b'"HTTP_X_ONE":"1"' in answer
    assert b'"REMOTE_ADDR":"127.0.0.1"' in answer


def test_head_has_the_length_and_no_body(site: Site) -> None:
    answer = site.ask("HEAD", "/hello")
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "5", b"")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_large_upload_is_streamed(site: Site, is_chunked: bool) -> None:
    before_mib = site.rss_mib
    data = b"0123456789abcdef" * (MIB // 16)
    headers = {} if is_chunked else {"Content-Length": str(100 * MIB)}
    answer = site.ask("POST", "/digest", body=(data for _ in range(100)), headers=headers)
    assert f'"size":{100 * MIB}'.encode() in answer.body
    assert hashlib.sha256(data * 100).hexdigest().encode() in answer.body
    assert site.rss_mib - before_mib < 30


def test_lines_are_answered_while_they_come(site: Site) -> None:
    with site.open("POST /lines") as connection:
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"a" * 99_999 + b"\n"))
        received = b""
        while b"seen a" not in received:
            received += connection.recv(65536)
        connection.sendall(chunk(b"second\n"))
        while b"seen second" not in received:
            received += connection.recv(65536)
        connection.sendall(chunk(b""))
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)

    assert received.index(b"seen a") < received.index(b"seen second")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("size_mib", [2, 50])
def test_body_limit_is_left_to_flask(site: Site, size_mib: int) -> None:
    with site.open("POST /limited") as connection:
        connection.sendall(b"Content-Length: %d\r\n\r\n" % (size_mib * MIB) + b"x" * 200_000)
        assert b" 413 " in connection.recv(65536)


def test_upload_that_breaks_off_is_not_taken_for_a_whole_one(own_site: Site) -> None:
    with own_site.open("POST /digest") as connection:
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 200_000))
        connection.shutdown(socket.SHUT_WR)
        received = connection.recv(65536)
    assert b" 200 " not in received
    check_short_requests_are_quick(own_site, 1)


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/hello", [], b"200"),
        ("/hello", ["X-Many: 1"] * 98, b"200"),
        ("/hello", ["X-Many: 1"] * 120, b"431"),
        ("/hello", ["X-Large: " + "x" * 31_000], b"200"),
        ("/hello", ["X-Large: " + "x" * 33_000], b"431"),
        ("/hello", ["X-Large: " + "x" * 999_000], b"431"),
        ("/hello?" + "x" * 8_100, [], b"200"),
        ("/hello?" + "x" * 8_200, [], b"414"),
        ("/" + "x" * 70_000, [], b"414"),
        ("/hello", ["Host: another"], b"400"),
        ("/hello", ["Content-Length: 1", "Content-Length: 2"], b"400"),
        ("/hello", ["Folded: a", " b"], b"400"),
        ("/hello", ["Space : a"], b"400"),
    ],
)
def test_head_is_limited(site: Site, target: str, headers: list[str], status: bytes) -> None:
    with socket.create_connection((LOOPBACK, site.port), timeout=30) as connection:
        lines = [f"GET {target} HTTP/1.1", "Host: test", *headers, "", ""]
        with suppress(OSError):  # It may be refused before all of it is sent.
            connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(65536).split(b" ")[1] == status
    check_short_requests_are_quick(site, 1)


def test_slow_head_is_cut_off(impatient_site: Site) -> None:
    with impatient_site.open("GET /hello") as connection:
        assert connection.recv(65536) == b""


@pytest.mark.parametrize("size", [1000, 200_000], ids=["short", "large"])
def test_slow_body_is_told_so(impatient_site: Site, size: int) -> None:
    with impatient_site.open("POST /digest") as connection:
        connection.sendall(b"Content-Length: %d\r\n\r\n" % size + b"x" * (size // 2))
        assert b" 408 " in connection.recv(65536)


def test_body_that_goes_on_may_take_its_time(impatient_site: Site) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(8):
            time.sleep(0.25)
            yield b"x" * 4096

    answer = impatient_site.ask("POST", "/digest", body=slowly())
    assert b'"size":32768' in answer.body


def test_reader_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    impatient = running_site(tmp_path / "log.txt", 20, "impatient")
    with impatient as site, site.open("GET /blocking/endless") as connection:
        connection.sendall(b"\r\n")
        eventually(lambda: b"endless" in site.open_streams())
        eventually(lambda: b"endless" not in site.open_streams(), deadline_s=30)
    assert "StalledReaderError" in (tmp_path / "log.txt").read_text()


def test_failure_in_the_middle_cuts_the_connection(site: Site) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        site.get("/half")
    assert caught.value.partial == b"half"


def test_reader_that_stalls_costs_little_memory(site: Site) -> None:
    before_mib = site.rss_mib
    with site.open("GET /big") as connection:
        connection.sendall(b"\r\n")
        connection.recv(1)
        check_short_requests_are_quick(site)
        assert site.rss_mib - before_mib < 30


@pytest.mark.parametrize("kind", ["live", "blocking"])
def test_stream_ends_when_its_reader_goes(site: Site, kind: str) -> None:
    with site.open(f"GET /{kind}") as connection:
        connection.sendall(b"\r\n")
        assert b"text/event-stream" in connection.recv(65536)
        eventually(lambda: kind.encode() in site.open_streams())
    eventually(lambda: kind.encode() not in site.open_streams())


def test_streams_and_waits_do_not_hold_up_short_requests(site: Site) -> None:
    heads = ["GET /live"] * 200 + ["GET /blocking"] * 50 + ["GET /later/60.0"] * 200
    with ExitStack() as stack:
        streams = [stack.enter_context(site.open(head)) for head in heads]
        for stream in streams:
            stream.sendall(b"\r\n")
        for stream in streams[:250]:
            assert b"data: tick" in stream.recv(65536) + stream.recv(65536)
        check_short_requests_are_quick(site)
    eventually(lambda: site.open_streams() == b"[]\n")


def test_slow_uploads_do_not_hold_up_short_requests(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            upload = stack.enter_context(site.open("POST /digest"))
            upload.sendall(b"Content-Length: 1000\r\n\r\nthe rest never comes")
        check_short_requests_are_quick(site)


def test_later_answer_comes_with_its_own_status(site: Site) -> None:
    answer = site.get("/later/0.2")
    assert (answer.status, answer.body) == (201, b'{"path":"/later/0.2"}\n')


def test_stop_lets_requests_finish_and_ends_streams_and_waits(own_site: Site) -> None:
    paths = ["/sleep/1.0", "/live", "/blocking", "/later/60.0"]
    with ExitStack() as stack:
        connections = [stack.enter_context(own_site.connect()) for _ in paths]
        for connection, path in zip(connections, paths, strict=True):
            connection.request("GET", path)
        eventually(lambda: b"live" in own_site.open_streams())
        began = time.monotonic()
        assert own_site.process.stop() == 0
        assert time.monotonic() - began < 15
        slept, live, blocking, later = (c.getresponse().read() for c in connections)
    assert slept == b"slept"
    assert live.endswith(b"data: tick\n\n") and blocking.endswith(b"data: tick\n\n")
    assert later == b'{"path":"/later/60.0"}\n'


def test_stop_does_not_wait_for_idle_connections(own_site: Site) -> None:
    with own_site.connect() as connection:
        connection.request("GET", "/hello")
        connection.getresponse().read()
        began = time.monotonic()
        assert own_site.process.stop() == 0
        assert time.monotonic() - began < 15


def test_stop_tells_whom_it_cuts_off_to_try_again(tmp_path: Path) -> None:
    with running_site(tmp_path / "log.txt", grace_s=0.5) as site:
        with site.connect() as connection:
            connection.request("GET", "/sleep/60.0")
            check_short_requests_are_quick(site, 1)
            began = time.monotonic()
            assert site.process.stop() == 0
            assert time.monotonic() - began < 30
            answer = connection.getresponse()
            answer.read()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        log = (tmp_path / "log.txt").read_text()
    assert "cut off" in log
    assert "Traceback" not in log


def test_taken_port_is_refused_with_one_sentence(site: Site) -> None:
    command = [sys.executable, __file__, str(site.port), "1"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    last = second.stderr.strip().splitlines()[-1]
    assert f"ConfigurationError: Cannot listen on 127.0.0.1:{site.port}" in last


if __name__ == "__main__":
    short = Patience(1, 1, 1) if "impatient" in sys.argv else Patience()
    serve(app, LOOPBACK, int(sys.argv[1]), grace_s=float(sys.argv[2]), patience=short)
