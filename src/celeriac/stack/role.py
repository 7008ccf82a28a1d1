"""Keeps one command running: starts it, starts it again when it dies, stops it when told."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from celeriac.errors import ConfigurationError
from celeriac.stack.commands import Command
from celeriac.stack.preflight import MISCONFIGURED
from celeriac.stack.process import Process
from celeriac.stack.warden import Warden

Report = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How patient the supervisor is, in seconds."""

    grace_s: float = 10.0
    hurry_s: float = 4.0
    news_s: float = 8.0
    ready_s: float = 60.0
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 30.0
    stable_s: float = 60.0


class Backoff:
    """How long to wait before the next start: twice as long each time, until one proves stable."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next_s = pace.first_backoff_s

    def after(self, ran_s: float) -> float:
        """Give the delay in seconds after a process that ran this long."""
        if ran_s >= self._pace.stable_s:
            self._next_s = self._pace.first_backoff_s
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self._pace.longest_backoff_s)
        return delay_s


class Role:
    """One command under supervision; `on_line` gets its output, `report` what happens to it."""

    def __init__(
        self, command: Command, warden: Warden, pace: Pace, on_line: Report, report: Report
    ) -> None:
        self.command = command
        self.ready = False
        self.killed = False
        self._warden = warden
        self._pace = pace
        self._on_line = on_line
        self._report = report
        self._backoff = Backoff(pace)
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._process: Process | None = None
        self._returning: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_line = ""
        self._text_seen = command.ready_text is None

    async def keep_running(self) -> None:
        """Start the command again whenever it ends, until `stop` is called.

        Raises:
            ConfigurationError: it ended in a way that another start would only repeat.
        """
        while not self._stopping.is_set():
            started_s = time.monotonic()
            how = await self._run_once()
            self._returning.cancel()
            if not self._stopping.is_set():
                await self._pause(how, self._backoff.after(time.monotonic() - started_s))
                self._returning = asyncio.create_task(self._announce_return())

    async def _announce_return(self) -> None:
        self._text_seen = self.command.ready_text is None
        await asyncio.sleep(self._pace.first_backoff_s / 10)  # Its successor starts meanwhile.
        await self.wait_ready()
        if not self._stopping.is_set():
            self._report("is back")

    async def wait_ready(self) -> None:
        """Wait until the role has shown that it is ready."""
        waited_s, pause_s = 0.0, 0.05
        while not await self._is_ready():
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            # Something is wrong that takes time to mend: ask less often, its log shows each.
            pause_s = 0.05 if waited_s < 10 else 1.0
        self.ready = True

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Stop it with as much patience as `Pace` has, or until `hurry` is called; then kill it."""
        self._stopping.set()
        self._send(signal.SIGTERM)
        hurrying = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait(
            {running, hurrying}, timeout=self._pace.grace_s, return_when=asyncio.FIRST_COMPLETED
        )
        hurrying.cancel()
        if not running.done():
            self._send(self.command.hurry_signal)
            await asyncio.wait({running}, timeout=self._hurry_s)
        if not running.done():
            self.kill()
            await asyncio.wait({running})

    def hurry(self) -> None:
        """Wait no longer for what it finishes: let it hand that back, if it can, or kill it."""
        self._hurrying.set()

    def _send(self, number: signal.Signals | None) -> None:
        if number and self._process:
            self._process.send(number)

    def kill(self) -> None:
        """End its processes at once if it was told to stop; before that, they would come back."""
        if self._process and self._stopping.is_set():
            self.killed = True
            self._process.kill()

    @property
    def _hurry_s(self) -> float:
        return self._pace.hurry_s if self.command.hurry_signal else 0

    async def _run_once(self) -> str:
        try:
            process = await Process.start(self.command, self._take_line, self._warden)
        except OSError as error:
            return f"cannot be started: {error}"
        self._process = process
        if self._stopping.is_set():
            process.kill()
        code = await process.wait()
        self._process = None
        if not self._stopping.is_set():
            self._check_end(code)
        return ended(code)

    def _check_end(self, code: int) -> None:
        last_line = self._last_line or f"{ended(code)} and said nothing."
        if code == MISCONFIGURED:
            raise ConfigurationError(f"{self.command.name} cannot start: {last_line}")
        if self.command.explain_end and not self.ready:
            raise ConfigurationError(self.command.explain_end(last_line))

    async def _pause(self, how: str, delay_s: float) -> None:
        self._report(f"{how}; starts again in {delay_s:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    async def _is_ready(self) -> bool:
        probe = self.command.probe
        return self._text_seen and (probe is None or await probe())

    def _take_line(self, line: str) -> None:
        self._last_line = line.strip() or self._last_line
        self._text_seen = self._text_seen or (self.command.ready_text or "") in line
        self._on_line(line)


def ended(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
