"""A child process waits for nothing that its parent's threads did when it was forked."""

import subprocess
import sys

WRITING_WHILE_FORKED = """
import io, logging, os, signal, sys, threading
from celeriac.pools.forking import fork_safely

is_writing, is_forked = threading.Event(), threading.Event()

class Slow(io.RawIOBase):
    def writable(self):
        return True

    def write(self, line):
        is_writing.set()
        is_forked.wait(0.5)  # The whole of it where a fork waits for us.
        return os.write(1, line)

logging.basicConfig(stream=io.TextIOWrapper(io.BufferedWriter(Slow())), format="%(message)s")
fork_safely()
threading.Thread(target=logging.warning, args=["of the thread"]).start()
is_writing.wait()
child = os.fork()
if not child:
    signal.alarm(20)  # Whoever hangs ends.
is_forked.set()
logging.warning("of the parent" if child else "of the child")
if child:
    sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""


FINDING_OUT_WHILE_FORKED = """
import os, signal, sys, threading
from kombu.utils.objects import cached_property
from celeriac.pools.forking import fork_safely

is_asked, is_forked = threading.Event(), threading.Event()

class Backend:
    @cached_property
    def client(self):
        is_asked.set()
        is_forked.wait()
        return "client"

fork_safely()
threading.Thread(target=lambda: Backend().client).start()
is_asked.wait()
child = os.fork()
if not child:
    signal.alarm(20)  # Whoever hangs ends.
is_forked.set()
os.write(1, (Backend().client + os.linesep).encode())  # A whole line at once.
if child:
    sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""


def test_child_that_is_forked_while_a_thread_finds_something_out_can_do_so_too() -> None:
    assert _printed_by(FINDING_OUT_WHILE_FORKED) == ["client"] * 2


def test_child_that_is_forked_while_a_thread_writes_a_line_can_write_too() -> None:
    lines = _printed_by(WRITING_WHILE_FORKED)

    assert lines == ["of the child", "of the parent", "of the thread"]


def _printed_by(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())
