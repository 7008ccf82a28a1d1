"""Ends what a supervisor leaves behind when it is killed without a chance to clean up.

The warden is a second, tiny process. Its stdin is a pipe from the supervisor, which writes `+PID`
for each process group that starts and `-PID` for each that has ended. When the pipe closes, for
whatever reason, the warden kills the groups that are left, children and all, and removes the
file with the addresses. It holds the lock of the data directory until then. PR_SET_PDEATHSIG
alone would not do: it exists on Linux only, and it leaves the children of the roles behind.

It runs this file by its path with bare Python, so it imports nothing of Celeriac.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


class Warden:
    """The supervisor's side."""

    def __init__(self, lock: int, stack_file: Path) -> None:
        self._lock = lock
        self._stack_file = stack_file
        self._groups: set[int] = set()
        self._process = self._start()

    def watch(self, group: int) -> None:
        """Have this process group killed if the supervisor dies."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """This group has ended; its number may soon belong to somebody else."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def close(self) -> None:
        """Let it clean up, and wait until it has."""
        with suppress(BrokenPipeError):
            self._pipe.close()
        self._process.wait()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(self._stack_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,
            bufsize=0,
        )

    def _tell(self, line: str) -> None:
        try:
            self._pipe.write(f"{line}\n".encode())
        except BrokenPipeError:  # Somebody ended the warden: another takes over.
            self._process.wait()
            self._process = self._start()
            self._pipe.write("".join(f"+{group}\n" for group in self._groups).encode())


def _keep_watch(stack_file: Path) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    stack_file.unlink(missing_ok=True)


if __name__ == "__main__":
    _keep_watch(Path(sys.argv[1]))
