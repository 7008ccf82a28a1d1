"""What `celeriac up` shows: its own steps, the roles' lines under aligned names, the addresses."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from celeriac.masking import masked

if TYPE_CHECKING:
    import rich.console

Announce = Callable[[str], None]

OWN_NAME = "celeriac"
OWN_COLOUR = "bold"
COLOURS = ("green", "cyan", "magenta", "yellow", "blue")


def print_line(line: str) -> None:
    """Write a line to stdout; a reader that has gone away is no reason to stop."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(line.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Console:
    """Formats lines and hands them to `announce`; `terminal` None means plain text."""

    def __init__(
        self,
        announce: Announce,
        names: Sequence[str],
        started_s: float | None = None,
        terminal: "rich.console.Console | None" = None,
    ) -> None:
        self._announce = announce
        self._started_s = time.monotonic() if started_s is None else started_s
        self._terminal = terminal or _own_terminal(announce)
        self._width = max(map(len, (OWN_NAME, *names)))
        self._colours = {
            name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)
        } | {OWN_NAME: OWN_COLOUR}
        self._prefixes: dict[str, str] = {}

    @property
    def elapsed_s(self) -> float:
        """Give the seconds since `celeriac up` began."""
        return time.monotonic() - self._started_s

    def step(self, text: str) -> None:
        """Say what the supervisor does, with the time since the start."""
        self.role_line(OWN_NAME, f"{self.elapsed_s:6.2f} s  {text}")

    def role_line(self, name: str, line: str) -> None:
        """Show a line of a role's output."""
        self._write(self._prefix(name) + masked(line))

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show names and what belongs to them."""
        if self._terminal is None:
            width = max(len(name) for name, _ in rows)
            text = "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
        else:
            text = self._rendered_table(self._terminal, rows)
        self._write(f"\n{text}\n")

    def _write(self, text: str) -> None:
        # A closed terminal or a full disk must not keep the roles from being stopped.
        with suppress(OSError):
            self._announce(text)

    def _prefix(self, name: str) -> str:
        if name not in self._prefixes:
            self._prefixes[name] = self._rendered_prefix(name)
        return self._prefixes[name]

    def _rendered_prefix(self, name: str) -> str:
        plain = f"{name:<{self._width}} | "
        if self._terminal is None:
            return plain
        with self._terminal.capture() as capture:
            self._terminal.print(plain, style=self._colours.get(name), end="", highlight=False)
        return capture.get()

    @staticmethod
    def _rendered_table(terminal: "rich.console.Console", rows: Sequence[tuple[str, str]]) -> str:
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(name, Text(value))
        with terminal.capture() as capture:
            terminal.print(table)
        return capture.get().rstrip("\n")


def _own_terminal(announce: Announce) -> "rich.console.Console | None":
    """Give stdout as a terminal with colours, where it is one; rich heeds NO_COLOR and TERM."""
    if announce is not print_line or not sys.stdout.isatty():
        return None
    from rich.console import Console as Terminal

    return Terminal(soft_wrap=True)
