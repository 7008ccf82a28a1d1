"""A child process can write to the log, whatever its parent's threads did when it was forked."""

import subprocess
import sys

WRITING_WHILE_FORKED = """
import io, logging, os, signal, sys, threading
from celeriac.pools.forking import fork_between_lines

is_writing, is_forked = threading.Event(), threading.Event()

class Slow(io.RawIOBase):
    def writable(self):
        return True

    def write(self, line):
        is_writing.set()
        is_forked.wait(0.5)  # The whole of it where a fork waits for us.
        return os.write(1, line)

logging.basicConfig(stream=io.TextIOWrapper(io.BufferedWriter(Slow())), format="%(message)s")
fork_between_lines()
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


def test_child_that_is_forked_while_a_thread_writes_a_line_can_write_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITING_WHILE_FORKED],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["of the child", "of the parent", "of the thread"]
