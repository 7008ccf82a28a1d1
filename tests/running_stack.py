"""`celeriac up` as a person runs it: a process of its own, reached only from outside."""

import json
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from servers import clean_environment

MARK = "TEST_STACK_MARK"
START_DEADLINE_S = 240
ANSWERS_WITHIN_S = 30


@dataclass
class RunningStack:
    """One `celeriac up` in a folder of its own; a mark in the environment tells its processes."""

    folder: Path
    arguments: Sequence[str | Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: ChildProcess = field(init=False)

    def __post_init__(self) -> None:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        self.process = ChildProcess(
            command=[
                *(sys.executable, "-m", "celeriac", "up", "--port", str(self.port)),
                *("--flower-port", str(self.flower_port), "--data-dir", self.data_dir),
                *self.arguments,
            ],
            log_path=self.folder / "celeriac-up.log",
            env={**clean_environment(home, **{MARK: self.mark}), **self.environment},
            cwd=self.cwd or home,
        )

    @property
    def url(self) -> str:
        """Give the address of the web UI and, under /api/v1, of the API."""
        return f"http://{LOOPBACK}:{self.port}"

    def get(self, path: str) -> Any:
        """Ask the API for a path under /api/v1, and give its JSON."""
        return _json(urllib.request.Request(f"{self.url}/api/v1{path}"))

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        """Post JSON to the API, and give the JSON that it answers."""
        data = b"" if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data else {}
        url = f"{self.url}/api/v1{path}"
        return _json(urllib.request.Request(url, data, {**given, **headers}, method="POST"))

    def submit(self, task: str, args: object = None, **options: object) -> str:
        """Submit a run, and give its identifier."""
        body = {"args": args or {}, "options": options}
        return str(self.post(f"/tasks/{task}/runs", body)["id"])

    def wait_for(self, run_id: str) -> Any:
        """Give a run when it has ended."""
        return eventually(
            lambda: (run := self.get(f"/runs/{run_id}"))["finished_at"] and run,
            deadline_s=ANSWERS_WITHIN_S,
        )

    @property
    def flower_url(self) -> str:
        """Give the address of Flower."""
        return f"http://{LOOPBACK}:{self.flower_port}"

    @property
    def data_dir(self) -> Path:
        """Give the folder that the stack keeps its data in."""
        return self.folder / "data"

    @property
    def broker_url(self) -> str:
        """Give the address of the broker, also the embedded one; the stack must have started."""
        lines = (self.data_dir / "stack.env").read_text().splitlines()
        values = dict(line.partition("=")[::2] for line in lines if "=" in line)
        return values["CELERIAC_BROKER_URL"].strip("'\"")

    @property
    def log(self) -> str:
        """Give all that the stack has printed."""
        return self.process.log_path.read_text(errors="replace")

    def start(self) -> None:
        """Start, and return when the web says that it is ready."""
        self.process.start()
        try:
            eventually(
                lambda: not self.process.is_running or self._is_ready(),
                deadline_s=START_DEADLINE_S,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{tail(self.process.log_path)}") from error
        self.process.check_running()

    def stop(self) -> None:
        """Ask it to stop (SIGTERM), and check that it says goodbye and leaves nothing behind."""
        code = self.process.stop()
        assert code == 0, f"celeriac up ended with {code}:\n{tail(self.process.log_path)}"
        assert not self.left_behind(), f"celeriac up left {self.left_behind()} running"
        open_ports = [port for port in (self.port, self.flower_port) if is_listening(port)]
        assert not open_ports, f"celeriac up left {open_ports} open"

    def close(self) -> None:
        """End every process of it that still runs."""
        if self.process.is_running:
            self.process.kill()
        for process in self.processes():
            process.kill()

    def left_behind(self) -> list[str]:
        """Tell which of its processes run, children of children and daemons included."""
        return [f"{process.pid} {process.name()}" for process in self.processes()]

    def processes(self) -> list[psutil.Process]:
        """Give its processes that run, children of children and daemons included."""
        found = psutil.process_iter(["environ", "status"])
        return [
            process
            for process in found
            if (process.info["environ"] or {}).get(MARK) == self.mark
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            raise


def _json(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as response:
        return json.load(response)


@contextmanager
def running_stack(
    folder: Path,
    *,
    broker_url: str | None = None,
    redis_url: str | None = None,
    arguments: Sequence[str | Path] = (),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[RunningStack]:
    """Run `celeriac up`, on servers of the test's own where their addresses are given.

    A stack that the test itself has stopped or killed is not stopped again.
    """
    broker = ("--broker", broker_url) if broker_url else ()
    redis = ("--redis", redis_url) if redis_url else ()
    stack = RunningStack(folder, (*broker, *redis, *arguments), environment or {}, cwd)
    try:
        stack.start()
        yield stack
        if stack.process.is_running:
            stack.stop()
    finally:
        stack.close()
