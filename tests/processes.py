"""Child processes of the tests: started on free ports, and never left behind."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
PORTS_EACH = 2_000
"""How many ports each of the pytest processes that run side by side (at most six) may give."""

SIDE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
SERVER_PORTS = range(20_000 + SIDE * PORTS_EACH, 20_000 + (SIDE + 1) * PORTS_EACH)
"""Below the ports that systems give to outgoing connections, so that a server which is stopped for
a while finds its port free when it starts again; no two pytest processes share any."""

_given_ports: set[int] = set()


def free_port() -> int:
    """Find a TCP port that nothing listens on, and that no earlier call gave."""
    for port in random.sample(SERVER_PORTS, 200):
        if port not in _given_ports and _can_listen(port):
            _given_ports.add(port)
            return port
    raise AssertionError("no free TCP port found")


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def tail(path: Path, lines: int = 40) -> str:
    """Give the end of a log file, for the message of a failure."""
    if not path.exists():
        return f"({path.name} was never written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class ChildProcess:
    """One program with its own session and log file; it dies with the test run, even by SIGKILL."""

    command: Sequence[str | Path]
    log_path: Path
    env: Mapping[str, str]
    cwd: Path
    stop_deadline_s: float = 30
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Give the process id; the process must have been started."""
        return self._started().pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program; its output is appended to the log file."""
        assert not self.is_running, f"{self.command[0]} runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def stop(self) -> int:
        """Ask the program to end (SIGTERM), wait for it and return its exit code.

        Raises:
            AssertionError: it did not end in time; it is killed then.
        """
        process = self._started()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            return process.wait(self.stop_deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.command[0]} did not end within {self.stop_deadline_s:g} s of SIGTERM:\n"
                f"{tail(self.log_path)}"
            ) from None

    def kill(self) -> None:
        """End the program and what it started at once (SIGKILL)."""
        process = self._started()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def freeze(self) -> None:
        """Make the program stand still (SIGSTOP): its connections stay open, nothing answers."""
        self._started().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen program go on (SIGCONT)."""
        self._started().send_signal(signal.SIGCONT)

    def check_running(self) -> None:
        """Fail, with the end of the log, when the program has ended by itself."""
        process = self._started()
        if process.poll() is not None:
            raise AssertionError(
                f"{self.command[0]} ended with {process.returncode}:\n{tail(self.log_path)}"
            )

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.command[0]} was never started"
        return self._process


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Run in the child: Linux kills it when the thread that started it ends."""
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
