"""The order of starting and stopping, and the life in between."""

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from typing import Any

from celeriac.settings import Settings
from celeriac.stack.addresses import table_of
from celeriac.stack.commands import Command
from celeriac.stack.console import Console
from celeriac.stack.folder import DataFolder
from celeriac.stack.role import Pace, Role
from celeriac.stack.valkey import HOST, EmbeddedValkey
from celeriac.stack.warden import Warden

SYNC_EVERY_S = 1.0
"""A power cut may take what the embedded server answered in this time."""


class Supervisor:
    """Runs the embedded server, if there is one, and the roles until something ends them all."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        valkey: EmbeddedValkey | None,
        commands: Sequence[Command],
        console: Console,
        pace: Pace,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._valkey = valkey
        self._commands = commands
        self._console = console
        self._pace = pace
        self._roles: dict[Role, asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []
        self._stopping = False
        self._hastened = False

    async def run(self) -> int:
        """Run until a signal asks to stop; give the exit code.

        Raises:
            ConfigurationError: a role or the embedded server cannot start as things are.
        """
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._warden = Warden(self._folder.lock, self._folder.stack_file)
        self._take_signals()
        try:
            self._in_background(self._start())
            return await self._end
        finally:
            await self._stop()

    async def _start(self) -> None:
        if self._valkey:
            await self._start_valkey(self._valkey)
        self._folder.write_stack_file(self._settings)
        roles = [self._supervise(command) for command in self._commands]
        self._console.step(f"starting {', '.join(role.command.name for role in roles)}")
        waiting = [self._in_background(self._announce_ready(role)) for role in roles]
        _, late = await asyncio.wait(waiting, timeout=min(self._pace.news_s, self._pace.ready_s))
        if late:
            self._console.step(
                f"still starting: {_names_of_late(roles)}. If it lasts, `celeriac doctor` in "
                "another terminal of this folder tells whether anything is away."
            )
            _, late = await asyncio.wait(waiting, timeout=self._pace.ready_s)
        self._console.table(table_of(self._settings))
        if late:
            self._console.step(f"still not ready: {_names_of_late(roles)}. Ctrl-C stops.")
            await asyncio.wait(late)
        self._console.step(f"ready in {self._console.elapsed_s:.1f} s. Ctrl-C stops.")

    async def _start_valkey(self, valkey: EmbeddedValkey) -> None:
        role = self._supervise(valkey.command)
        await role.wait_ready()
        self._in_background(_keep_synced(valkey))
        self._console.step(f"the embedded Valkey server answers on {HOST}:{valkey.port}")

    async def _announce_ready(self, role: Role) -> None:
        await role.wait_ready()
        self._console.step(f"{role.command.name} is ready")

    def _supervise(self, command: Command) -> Role:
        name = command.name

        def show(line: str) -> None:
            # Valkey talks about its start and its stop; what it says in between is news.
            if command.explain_end is None or (role.ready and not self._stopping):
                self._console.role_line(name, line)

        def report(text: str) -> None:
            self._console.step(f"{name} {text}")

        role = Role(command, self._warden, self._pace, show, report)
        self._roles[role] = self._in_background(role.keep_running())
        return role

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._end_on_error)
        self._background.append(task)
        return task

    def _end_on_error(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._end.done():
            self._end.set_exception(error)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup, SIGHUP is ignored on purpose.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if not self._end.done():
            self._end.set_result(0)
        elif self._stopping and number != signal.SIGHUP:
            # A closing terminal sends SIGHUP more than once; only people ask again.
            self._hasten()

    def _hasten(self) -> None:
        """Have what runs handed back; asked once more, do not wait for that either."""
        if self._hastened:
            self._console.step("stopping at once")
        else:
            self._console.step("handing back what runs. Ctrl-C once more stops at once.")
        for role in self._roles:
            if self._hastened:
                role.kill()
            elif not role.command.explain_end:  # A server has to write down what it has.
                role.hurry()
        self._hastened = True

    async def _stop(self) -> None:
        self._stopping = True
        began_s = self._console.elapsed_s
        self._console.step(
            f"stopping; what runs has {self._pace.grace_s:g} s to finish. "
            "Ctrl-C again hands it back."
        )
        for task in set(self._background) - set(self._roles.values()):
            task.cancel()
        servers = [role for role in self._roles if role.command.explain_end]
        roles = [role for role in self._roles if role not in servers]
        # The servers go last, so that runs that finish now can still store their results.
        for group in (roles, servers):
            await asyncio.gather(*(role.stop(self._roles[role]) for role in group))
        self._warden.close()
        took = f"stopped in {self._console.elapsed_s - began_s:.1f} s"
        self._console.step(f"{took}; {_how([*roles, *servers])}")


async def _keep_synced(valkey: EmbeddedValkey) -> None:
    while True:
        await asyncio.sleep(SYNC_EVERY_S)
        await asyncio.to_thread(valkey.sync)


def _names_of_late(roles: Sequence[Role]) -> str:
    return ", ".join(role.command.name for role in roles if not role.ready)


def _how(roles: Sequence[Role]) -> str:
    killed = [role.command.name for role in roles if role.killed]
    return f"had to kill {', '.join(killed)}" if killed else "everything ended by itself"
