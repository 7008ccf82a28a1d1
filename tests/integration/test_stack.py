"""`celeriac up`: the real supervisor and the real embedded Valkey server, with stub roles."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import redis

from celeriac.settings import load_settings
from eventually import eventually
from processes import free_port, is_listening

PROGRAM = Path(__file__).with_name("stub_stack.py")


@dataclass
class Stack:
    """One start of `celeriac up`, seen from outside."""

    folder: Path
    environment: dict[str, str]
    started: subprocess.Popen[bytes] | None = None
    descendants: set[psutil.Process] = field(default_factory=set)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.started is not None
        return self.started

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    @property
    def data(self) -> Path:
        return self.folder / ".celeriac"

    @property
    def port(self) -> int:
        return int(self.environment["CELERIAC_PORT"])

    def start(self, **changes: str) -> "Stack":
        variables = {name: text for name, text in os.environ.items() if "CELERIAC" not in name}
        with (self.folder / "output").open("wb") as output:
            self.started = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                cwd=self.folder,
                env={**variables, **self.environment, **changes},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def says(self, text: str, deadline_s: float = 20) -> str:
        eventually(
            lambda: text in self.output or self.process.poll() is not None, deadline_s=deadline_s
        )
        assert text in self.output
        self.descendants |= self._descendants()
        return self.output

    def ready(self, **changes: str) -> "Stack":
        self.start(**changes).says("ready in")
        return self

    def ends(self, deadline_s: float = 20) -> int:
        self.descendants |= self._descendants()
        eventually(lambda: self.process.poll() is not None, deadline_s=deadline_s)
        return self.process.returncode

    def asked_to_end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ends()

    def alive(self) -> list[psutil.Process]:
        return [each for each in self.descendants if is_alive(each)]

    def child(self, text: str) -> psutil.Process:
        """Find the process of the stack whose command line has this text."""
        return next(each for each in self._descendants() if text in command_line(each))

    def kill_all(self) -> None:
        self.descendants |= self._descendants()
        for process in self.alive():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.started:
            self.started.kill()
            self.started.wait()

    def _descendants(self) -> set[psutil.Process]:
        try:
            return set(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return set()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(
        tmp_path,
        {
            "CELERIAC_HOST": "127.0.0.1",
            "CELERIAC_PORT": str(free_port()),
            "CELERIAC_FLOWER_PORT": str(free_port()),
        },
    )
    yield stack
    stack.kill_all()


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stack], dict[str, str]]:
    """What another command in the same folder finds."""

    def found(stack: Stack) -> dict[str, str]:
        settings = load_settings(data_dir=stack.data)
        broker_url, redis_url = settings.require_urls()
        return {"broker": broker_url, "redis": redis_url, "port": str(settings.port)}

    for name in ("BROKER_URL", "REDIS_URL", "HOST", "PORT", "FLOWER_PORT"):
        monkeypatch.delenv(f"CELERIAC_{name}", raising=False)
    return found


Settings = Callable[[Stack], dict[str, str]]


def store(stack: Stack, settings_of: Settings) -> redis.Redis:
    return redis.Redis.from_url(settings_of(stack)["redis"], decode_responses=True)


def password(stack: Stack) -> str:
    return (stack.data / "valkey.password").read_text().strip()


def test_up_shows_the_addresses_when_all_is_ready(stack: Stack) -> None:
    stack.ready(CELERIAC_WORKERS="2")

    for name in ("web", "recorder", "worker1", "worker2", "flower"):
        assert f"{name} is ready" in stack.output
    web = f"http://127.0.0.1:{stack.port}"
    rows = [line.split() for line in stack.output.splitlines() if line.startswith("  ")]
    assert ["web", web] in rows
    assert ["API", "docs", f"{web}/docs"] in rows
    assert ["Flower", f"{web}/flower/"] in rows
    assert re.search(r"broker +redis://celeriac:\*\*\*@127\.0\.0\.1:\d+/0\n", stack.output)
    assert re.search(r"ready in \d+\.\d s\. Ctrl-C stops\.", stack.output)


def test_up_prefixes_each_line_with_its_role(stack: Stack) -> None:
    stack.ready()

    assert "worker1  | celery@worker1 ready.\n" in stack.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_leaves_nothing_behind_when_asked_to_stop(stack: Stack, number: signal.Signals) -> None:
    stack.ready()

    assert stack.asked_to_end(number) == 0

    assert len(stack.descendants) >= 7  # Valkey, the warden, three roles, the worker's two.
    assert stack.alive() == []
    assert not (stack.data / "stack.env").exists()
    assert "everything ended by itself" in stack.output


def test_up_leaves_nothing_behind_when_it_is_killed(stack: Stack, settings_of: Settings) -> None:
    stack.ready()
    store(stack, settings_of).set("kept", "yes")

    stack.process.kill()
    stack.ends()

    eventually(lambda: stack.alive() == [], deadline_s=5)
    eventually(lambda: not (stack.data / "stack.env").exists())
    stack.ready()
    assert store(stack, settings_of).get("kept") == "yes"


def test_up_survives_the_end_of_its_warden(stack: Stack) -> None:
    stack.ready()
    stack.child("warden.py").kill()
    stack.child("worker").kill()
    eventually(lambda: stack.output.count("celery@worker1 ready.") == 2)
    stack.says("ready in")

    stack.process.kill()
    stack.ends()

    eventually(lambda: stack.alive() == [], deadline_s=5)


def test_up_stops_before_it_was_ready(stack: Stack) -> None:
    stack.start(STUB_WORKER="silent").says("web is ready")

    assert stack.asked_to_end(signal.SIGINT) == 0

    assert stack.alive() == []


def test_up_lets_runs_finish_and_store_their_results(stack: Stack, settings_of: Settings) -> None:
    stack.ready(STUB_WORKER="stores_late")

    assert stack.asked_to_end() == 0

    stack.ready()
    assert store(stack, settings_of).get("result") == "stored"


def test_up_hurries_a_worker_after_the_grace_time(stack: Stack) -> None:
    stack.ready(STUB_WORKER="hurries", STUB_GRACE_S="0.3")

    assert stack.asked_to_end() == 0

    assert "handed back" in stack.output
    assert "everything ended by itself" in stack.output


def test_up_kills_what_does_not_stop(stack: Stack) -> None:
    stack.ready(STUB_WORKER="stubborn", STUB_GRACE_S="0.3")

    assert stack.asked_to_end() == 0

    assert stack.alive() == []
    assert "had to kill worker1" in stack.output


def test_up_stops_at_once_at_the_second_interrupt(stack: Stack) -> None:
    stack.ready(STUB_WORKER="stubborn", STUB_GRACE_S="60")
    stack.process.send_signal(signal.SIGINT)
    stack.says("stopping; what runs has 60 s to finish")
    began_s = time.monotonic()

    assert stack.asked_to_end(signal.SIGINT) == 0

    assert time.monotonic() - began_s < 30
    assert stack.alive() == []
    assert re.search(r"had to kill .*worker1", stack.output)
    assert "starts again" not in stack.output


def test_up_starts_a_dead_role_again_with_growing_delays(stack: Stack) -> None:
    stack.start(STUB_WORKER="dies").says("worker1 ended with exit code 1; starts again in 0.4 s")

    delays = re.findall(r"worker1 ended with exit code 1; starts again in ([\d.]+) s", stack.output)
    assert delays == ["0.05", "0.1", "0.2", "0.4"]
    assert "worker1  | worker has a bad day" in stack.output


def test_up_ends_the_children_of_a_dead_role(stack: Stack) -> None:
    stack.ready()
    worker = stack.child("worker")
    children = worker.children(recursive=True)

    worker.kill()

    stack.says("worker1 was ended by SIGKILL; starts again in")
    assert children
    eventually(lambda: not any(map(is_alive, children)))


def test_up_starts_valkey_again_with_its_data(stack: Stack, settings_of: Settings) -> None:
    stack.ready()
    results = store(stack, settings_of)
    results.set("kept", "yes")

    stack.child("valkey-server").kill()

    stack.says("valkey was ended by SIGKILL; starts again in")
    assert eventually(lambda: results.get("kept")) == "yes"


def test_up_stops_all_when_a_role_is_misconfigured(stack: Stack) -> None:
    stack.start(STUB_WORKER="misconfigured")

    assert stack.ends() == 2

    reason = "worker1 cannot start: CELERIAC_TASKS: there is no module named nonsense."
    assert stack.output.splitlines()[-1] == f"error: {reason}"
    assert stack.alive() == []
    assert not is_listening(stack.port)


def test_up_goes_on_while_a_worker_is_not_ready(stack: Stack) -> None:
    stack.start(STUB_WORKER="silent", STUB_READY_S="1")

    stack.says("still not ready: worker1. Ctrl-C stops.")
    assert f"http://127.0.0.1:{stack.port}/docs" in stack.output


def test_up_keeps_its_data_between_starts(stack: Stack, settings_of: Settings) -> None:
    stack.ready()
    first = settings_of(stack)
    store(stack, settings_of).set("kept", "yes")
    key = (stack.data / "secret.key").read_text()
    stack.asked_to_end()

    stack.ready()

    assert settings_of(stack) == first
    assert store(stack, settings_of).get("kept") == "yes"
    assert (stack.data / "secret.key").read_text() == key


def test_up_takes_another_valkey_port_when_the_old_one_is_taken(stack: Stack) -> None:
    stack.ready().asked_to_end()
    port = int((stack.data / "valkey.port").read_text())

    with socket.create_server(("127.0.0.1", port)):
        stack.ready()

    assert int((stack.data / "valkey.port").read_text()) != port


def test_up_tells_other_commands_its_addresses(stack: Stack, settings_of: Settings) -> None:
    stack.ready()

    found = settings_of(stack)

    assert found["port"] == str(stack.port)
    with redis.Redis.from_url(found["broker"]) as broker:
        assert broker.ping()


def test_up_keeps_secrets_to_the_owner(stack: Stack) -> None:
    stack.ready()

    for name in ("stack.env", "secret.key", "valkey.password", "valkey.port", "lock"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(stack.data.stat().st_mode) == 0o700
    assert (stack.data / ".gitignore").read_text() == "*\n"


def test_up_shows_no_password(stack: Stack) -> None:
    stack.ready(STUB_WORKER="shows_secrets")

    assert "broker is redis://celeriac:***@127.0.0.1:" in stack.output
    secrets = (password(stack), (stack.data / "secret.key").read_text().strip())
    seen = [stack.output, *map(command_line, stack.descendants)]
    assert len(seen) > 5
    assert not [text for text in seen for secret in secrets if secret in text]


def test_up_shows_what_a_role_writes_without_harm(stack: Stack) -> None:
    stack.ready(STUB_WORKER="shows_secrets")

    line = next(each for each in stack.output.splitlines() if "bad bytes" in each)
    assert "bad bytes \N{REPLACEMENT CHARACTER}" in line
    assert "a sequence  and xxx" in line
    assert re.search(r"x \[\.\.\. \d+ more bytes\]$", line)


def test_up_refuses_a_data_directory_in_use(stack: Stack) -> None:
    stack.ready()
    second = Stack(stack.folder, {**stack.environment, "CELERIAC_PORT": str(free_port())})
    (stack.folder / "output").rename(stack.folder / "first")

    assert second.start().ends() == 2

    assert "Another `celeriac up` runs on" in second.output
    assert "CELERIAC_DATA_DIR" in second.output
    assert is_listening(stack.port)


def test_up_refuses_a_taken_port_before_it_starts_anything(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.port)):
        assert stack.start().ends() == 2

    assert f"Port {stack.port} on 127.0.0.1 is taken" in stack.output
    assert "--port (CELERIAC_PORT)" in stack.output
    assert len(stack.output.splitlines()) == 1


def test_up_says_when_valkey_cannot_load_its_data(stack: Stack) -> None:
    stack.ready().asked_to_end()
    (log,) = stack.data.glob("valkey/appendonlydir/*.incr.aof")
    log.write_bytes(b"*1\r\n$3\r\nfoo" + b"garbage" * 100)

    assert stack.start().ends() == 2

    reason = stack.output.splitlines()[-1]
    assert f"cannot start on its data in {stack.data / 'valkey'}" in reason
    assert re.search(r"\(it says: .*unknown command 'foo'.*\)\. Move that folder away", reason)
    assert "web is ready" not in stack.output


def test_up_serves_with_valkey_only_what_is_not_given(stack: Stack, settings_of: Settings) -> None:
    # Nothing listens there: the roles wait and say so, the supervisor does not care.
    stack.ready(CELERIAC_BROKER_URL="amqp://user:hidden-secret@127.0.0.1:1//")

    found = settings_of(stack)
    assert found["broker"] == "amqp://user:hidden-secret@127.0.0.1:1//"
    assert store(stack, settings_of).ping()
    assert "amqp://user:***@127.0.0.1:1//" in stack.output
    assert "hidden-secret" not in stack.output


def test_up_starts_no_valkey_when_both_servers_are_given(stack: Stack) -> None:
    url = "redis://127.0.0.1:1/0"

    stack.ready(CELERIAC_BROKER_URL=url, CELERIAC_REDIS_URL=url)

    assert not [each for each in stack.descendants if "valkey" in each.name()]
    assert not (stack.data / "valkey").exists()
