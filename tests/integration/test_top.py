"""`celeriac top` in a terminal of its own: it draws, leaves when asked, and leaves no traces."""

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventually import eventually
from processes import LOOPBACK, free_port
from servers import RedisServer
from worker_process import celeriac_environment

LEFT_SCREEN = b"\x1b[?1049l"
SHOWS_CURSOR = b"\x1b[?25h"


class _Terminal:
    """A terminal with `celeriac top` in it."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.fd, self._inner = pty.openpty()
        termios.tcsetwinsize(self._inner, (30, 120))
        self.before = termios.tcgetattr(self._inner)
        os.set_blocking(self.fd, False)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celeriac", "top", "--every", "0.5"],
            stdin=self._inner, stdout=self._inner, stderr=self._inner, cwd=folder,
            env={**environment, "TERM": "xterm-256color"}, start_new_session=True,
        )  # fmt: skip

    def shows(self, text: str) -> bool:
        try:
            while chunk := os.read(self.fd, 65536):
                self.seen += chunk
        except BlockingIOError:
            pass
        return text.encode() in self.seen

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._inner) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.fd)
        os.close(self._inner)


@pytest.fixture
def environment(valkey_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    valkey_server.flush()
    (tmp_path / ".celeriac").mkdir()
    return celeriac_environment(tmp_path, valkey_server.url, valkey_server.url)


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[_Terminal]:
    found = _Terminal(environment, tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("way", ["q", "\x1b", signal.SIGINT, signal.SIGTERM])
def test_leaving_gives_the_terminal_back(terminal: _Terminal, way: str | signal.Signals) -> None:
    eventually(lambda: terminal.shows("celery_see"), deadline_s=30)
    assert not terminal.is_as_before()

    if isinstance(way, str):
        os.write(terminal.fd, way.encode())
    else:
        terminal.process.send_signal(way)

    assert terminal.process.wait(15) == 0
    terminal.shows("")
    assert LEFT_SCREEN in terminal.seen and SHOWS_CURSOR in terminal.seen
    assert b"Traceback" not in terminal.seen
    assert terminal.is_as_before()


def test_plus_looks_farther_back(terminal: _Terminal) -> None:
    eventually(lambda: terminal.shows("last hour"), deadline_s=30)

    os.write(terminal.fd, b"+")

    eventually(lambda: terminal.shows("last 6 hours"), deadline_s=30)


def _once(
    environment: dict[str, str], folder: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celeriac", "top", *words],
        env={**environment, "COLUMNS": "120"}, cwd=folder, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def _whole(
    done: subprocess.CompletedProcess[str],
) -> subprocess.CompletedProcess[str] | None:
    """Give a look that shows the queues; a broker that is slow to answer is told of instead."""
    assert done.returncode == 0, done.stderr
    return done if "celery_see" in done.stdout else None


def test_pipe_gets_one_look(environment: dict[str, str], tmp_path: Path) -> None:
    done = eventually(lambda: _whole(_once(environment, tmp_path)), deadline_s=60)

    assert done.stdout.count("celeriac top") == 1
    assert "\x1b" not in done.stdout


def test_look_without_redis_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    away = f"redis://{LOOPBACK}:{free_port()}"
    gone = {"CELERIAC_BROKER_URL": away, "CELERIAC_REDIS_URL": away}

    done = _once(environment | gone, tmp_path, "--once")

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "! " in done.stdout and "did not answer" in done.stdout


def test_unknown_range_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    done = _once(environment, tmp_path, "--range", "2h")

    assert done.returncode == 2
    assert "--range" in done.stderr
