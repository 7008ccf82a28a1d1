"""A web process of its own, on a test's servers, and plain HTTP to it."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from worker_process import celeriac_environment

STARTS_WITHIN_S = 90


@dataclass(frozen=True)
class Answer:
    """What the web answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """Give the body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class WebProcess:
    """One `celeriac web`."""

    process: ChildProcess
    port: int

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request with a JSON body; a header's `_` stands for `-`."""
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.port}{path}",
            data=b"" if body is None else json.dumps(body).encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()}
            | ({} if body is None else {"Content-Type": "application/json"}),
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


@contextmanager
def running_web(
    folder: Path, broker_url: str, redis_url: str, more: Mapping[str, str] | None = None
) -> Iterator[WebProcess]:
    """Run `celeriac web` until the block ends; gives it when it listens."""
    port = free_port()
    process = ChildProcess(
        command=[sys.executable, "-m", "celeriac", "web", "--port", str(port)],
        log_path=folder / f"web-{port}.log",
        env={**celeriac_environment(folder, broker_url, redis_url), **(more or {})},
        cwd=folder,
    )
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=STARTS_WITHIN_S)
        assert process.is_running, tail(process.log_path)
        yield WebProcess(process, port)
    finally:
        if process.is_running:
            process.kill()
