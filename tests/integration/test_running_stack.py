"""The support for `celeriac up` notices a stack that fails, or that leaves something behind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import is_listening
from running_stack import RunningStack

READY = """
import http.server, signal, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
print("ready", flush=True)
http.server.HTTPServer(("127.0.0.1", {port}), Ready).serve_forever()
"""
LEAVE_A_DAEMON = """
import subprocess
subprocess.Popen(["sleep", "60"], start_new_session=True)
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    made = RunningStack(tmp_path)
    yield made
    made.close()


def _pretend(stack: RunningStack, before: str = "", code: int = 0) -> None:
    program = before + READY.format(port=stack.port, code=code)
    stack.process.command = [sys.executable, "-c", program]


def test_stack_that_stops_in_good_order_passes(stack: RunningStack) -> None:
    _pretend(stack)

    stack.start()
    assert is_listening(stack.port)
    assert len(stack.left_behind()) == 1
    stack.stop()

    assert "ready" in stack.log


def test_stack_that_leaves_a_daemon_fails_the_test(stack: RunningStack) -> None:
    _pretend(stack, before=LEAVE_A_DAEMON)
    stack.start()

    with pytest.raises(AssertionError, match=r"left .*sleep"):
        stack.stop()

    stack.close()
    assert stack.left_behind() == []


def test_stack_that_ends_with_an_error_fails_the_test(stack: RunningStack) -> None:
    _pretend(stack, code=3)
    stack.start()

    with pytest.raises(AssertionError, match="ended with 3"):
        stack.stop()


def test_stack_that_cannot_start_tells_its_log(stack: RunningStack) -> None:
    stack.process.command = [sys.executable, "-c", "raise SystemExit('no broker today')"]

    with pytest.raises(AssertionError, match="no broker today"):
        stack.start()
