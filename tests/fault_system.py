"""The system that is broken: web, recorder, two workers, a broker and Redis, each a process."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from celeriac.history import History
from eventually import eventually
from processes import ChildProcess, free_port, is_listening, tail
from servers import RabbitMQServer, RedisServer, clean_environment

CONCURRENCY = 2
WORKERS = ("worker1", "worker2")
EXECUTED_AT_ONCE = CONCURRENCY * len(WORKERS)
"""How many runs may be in hand when something breaks, and be executed again for that."""
DELIVERY_LIMIT = 3
STARTS_WITHIN_S = 240
"""On a machine that is busy; usually three seconds."""
Broker = RabbitMQServer | RedisServer


@dataclass
class Part(ChildProcess):
    """One process of Celeriac's; when it is ready, it says so in its log, or listens."""

    is_ready: Callable[[str], bool] = bool
    _known: int = field(default=0, init=False)
    """How many characters of the log an earlier start has written."""

    def start(self) -> None:
        """Start, and return when it is ready."""
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start."""
        self._known = len(self._log())
        super().start()

    def await_ready(self) -> None:
        """Return when it is ready; fails when it has ended instead."""
        eventually(
            lambda: not self.is_running or self.is_ready(self._log()[self._known :]),
            deadline_s=STARTS_WITHIN_S,
        )
        self.check_running()

    def ask_to_stop(self) -> None:
        """Tell it to stop (SIGTERM), and do not wait for it."""
        os.kill(self.pid, signal.SIGTERM)

    def kill_alone(self) -> list[psutil.Process]:
        """Kill the process and none of its children; gives them."""
        process = psutil.Process(self.pid)
        children = process.children()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return children

    def children(self) -> list[psutil.Process]:
        """Give the processes that it has started."""
        return psutil.Process(self.pid).children()

    def _log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


@dataclass
class System:
    """All of it; a fault breaks what it likes, and `mend` makes it whole again."""

    name: str
    """Which broker it has, as the table calls it."""
    folder: Path
    broker: Broker
    redis: RedisServer
    environment: Mapping[str, str]
    """What each part is told, the addresses above all."""
    web_environment: Mapping[str, str] = field(default_factory=dict)
    worker_environment: Mapping[str, str] = field(default_factory=dict)
    """What only these are told, such as an address that leads through a link."""
    port: int = field(default_factory=free_port)
    web: Part = field(init=False)
    recorder: Part = field(init=False)
    workers: tuple[Part, ...] = field(init=False)
    history: History = field(init=False)

    def __post_init__(self) -> None:
        listens = f"--port={self.port}"
        self.web = self._part("web", lambda _: is_listening(self.port), listens)
        self.web.env = {**self.web.env, **self.web_environment}
        self.recorder = self._part("recorder", lambda log: "recorder is ready" in log)
        self.workers = tuple(self._worker(name) for name in WORKERS)
        self.history = History(self.environment["CELERIAC_HISTORY_URL"])

    @property
    def parts(self) -> tuple[Part, ...]:
        """Give Celeriac's own processes."""
        return (self.recorder, self.web, *self.workers)

    def mend(self) -> None:
        """Start what does not run, the servers first."""
        for server in (self.broker, self.redis):
            if not server.process.is_running:
                server.start()
        for part in self.parts:
            if part.is_running:
                part.thaw()
            else:
                part.begin()
        for part in self.parts:
            part.await_ready()

    def restart_workers(self, **environment: str) -> None:
        """Stop the workers, and start them with more in their environment."""
        for name, worker in zip(WORKERS, self.workers, strict=True):
            worker.stop()
            worker.env = {**self._worker(name).env, **environment}
        self.mend()

    def close(self) -> None:
        """End every process of Celeriac's; the servers are somebody else's."""
        self.history.close()
        for part in self.parts:
            if part.is_running:
                part.kill()

    def log_ends(self) -> str:
        """Give the ends of all logs, for the message of a failure."""
        return "\n".join(f"--- {part.log_path.name}\n{tail(part.log_path)}" for part in self.parts)

    def _worker(self, name: str) -> Part:
        options = (f"--name={name}", f"--concurrency={CONCURRENCY}")
        part = self._part("worker", lambda log: "ready." in log, *options)
        env = {**part.env, **self.worker_environment}
        return replace(part, log_path=self.folder / f"{name}.log", env=env)

    def _part(self, role: str, is_ready: Callable[[str], bool], *options: str) -> Part:
        return Part(
            command=[sys.executable, "-m", "celeriac", role, *options],
            log_path=self.folder / f"{role}.log",
            env=clean_environment(self.folder, **self.environment),
            cwd=self.folder,
            is_ready=is_ready,
        )


def environment(broker_url: str, redis_url: str, history_url: str) -> dict[str, str]:
    """Give what the parts of a system are told."""
    return {
        "CELERIAC_BROKER_URL": broker_url,
        "CELERIAC_REDIS_URL": redis_url,
        "CELERIAC_HISTORY_URL": history_url,
        "CELERIAC_TASKS": "fault_tasks",
        "CELERIAC_DELIVERY_LIMIT": str(DELIVERY_LIMIT),
        "CELERIAC_LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(Path(__file__).parent),
    }


@contextmanager
def running(system: System) -> Iterator[System]:
    """Run a system until the block ends."""
    try:
        system.mend()
        yield system
    finally:
        system.close()
