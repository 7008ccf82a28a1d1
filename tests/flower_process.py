"""Flower as a process of its own, on a test's servers."""

import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from worker_process import celeriac_environment

STARTS_WITHIN_S = 120
BASIC_AUTH = "web:a-password-of-the-tests"


@dataclass(frozen=True)
class FlowerProcess:
    """One `celeriac flower` that asks for a password."""

    process: ChildProcess
    port: int

    @property
    def url(self) -> str:
        """Give its address, as the web's settings want it."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def for_the_web(self) -> dict[str, str]:
        """Give the settings of a web that shows it."""
        return {"CELERIAC_FLOWER_URL": self.url, "CELERIAC_FLOWER_BASIC_AUTH": BASIC_AUTH}

    def status(self, path: str, basic_auth: str = "") -> int:
        """Ask it for a path, past the web, and give the answer's status."""
        request = urllib.request.Request(self.url + path)
        if basic_auth:
            request.add_header("Authorization", f"Basic {b64encode(basic_auth.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@contextmanager
def running_flower(
    folder: Path,
    broker_url: str,
    redis_url: str,
    more: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[FlowerProcess]:
    """Run `celeriac flower` until the block ends; gives it when it listens."""
    port = free_port()
    environment = {"CELERIAC_FLOWER_BASIC_AUTH": BASIC_AUTH, **(more or {})}
    process = ChildProcess(
        command=[sys.executable, "-m", "celeriac", "flower", "--flower-port", str(port), *options],
        log_path=folder / f"flower-{port}.log",
        env={**celeriac_environment(folder, broker_url, redis_url), **environment},
        cwd=folder,
    )
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=STARTS_WITHIN_S)
        assert process.is_running, tail(process.log_path)
        yield FlowerProcess(process, port)
    finally:
        if process.is_running:
            process.stop()
