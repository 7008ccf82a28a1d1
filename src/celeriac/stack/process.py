"""One started process: its own session and process group, its output line by line, its end."""

import asyncio
import ctypes
import functools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from celeriac.stack.commands import Command
from celeriac.stack.output import LineSplitter
from celeriac.stack.warden import Warden

CHUNK_BYTES = 65_536
DRAIN_S = 1.0
PR_SET_PDEATHSIG = 1

OnLine = Callable[[str], None]


class Process:
    """Leads a session of its own, so a Ctrl-C in the terminal never reaches it directly."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: asyncio.Task[None], warden: Warden
    ) -> None:
        self._process = process
        self._output = output
        self._warden = warden

    @classmethod
    async def start(cls, command: Command, on_line: OnLine, warden: Warden) -> "Process":
        """Start the command; `on_line` gets each line of its output.

        Raises:
            OSError: the system refuses to start it.
        """
        output, write_end = os.pipe()
        stdin = _readable(command.stdin)
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=stdin,
                stdout=write_end,
                stderr=write_end,
                env={**os.environ, **command.environment},
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(write_end)
            os.close(stdin)
        warden.watch(process.pid)
        return cls(process, asyncio.create_task(_read_lines(output, on_line)), warden)

    async def wait(self) -> int:
        """Wait for the end, end what the process left in its group, and give the exit code."""
        code = await self._process.wait()
        self.kill()
        self._warden.forget(self._process.pid)
        # A daemon that left the group may keep the pipe open for ever.
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._output
        return code

    def send(self, number: signal.Signals) -> None:
        """Signal the leader alone: servers pass a stop on to their children as they see fit."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the whole group at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


async def _read_lines(descriptor: int, on_line: OnLine) -> None:
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    splitter = LineSplitter()
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            for line in splitter.feed(chunk):
                on_line(line)
    finally:
        for line in splitter.flush():
            on_line(line)
        transport.close()


def _readable(text: str) -> int:
    """Give a descriptor that reads as this text (at most a pipe's 64 KiB), then ends."""
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode())
    os.close(write_end)
    return read_end


def _end_with_parent() -> Callable[[], None] | None:
    """Have Linux kill the child when this process is gone, should the warden be gone too."""
    if sys.platform != "linux":
        return None
    prctl, parent = _libc().prctl, os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
