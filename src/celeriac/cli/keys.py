"""Single keys from the terminal, without Enter and without an echo."""

import os
import select
import sys
from types import TracebackType
from typing import Any, Self

ESCAPE = "\x1b"
ARROWS = {"\x1b[C": "+", "\x1b[D": "-", "\x1b[A": "+", "\x1b[B": "-"}


class Keys:
    """Reads keys within its block, if there is a terminal to read from."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._before: Any = None

    def __enter__(self) -> Self:
        if sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            self._fd = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._fd is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def read(self, wait_s: float) -> str:
        """Give the key that is pressed within this time, `+` or `-` for an arrow, or nothing."""
        watched = [] if self._fd is None else [self._fd]
        ready, _, _ = select.select(watched, [], [], wait_s)
        if not ready or self._fd is None:
            return ""
        typed = os.read(self._fd, 32).decode(errors="replace")
        # A terminal that is gone gives nothing for ever: leave as if somebody had asked to.
        return ARROWS.get(typed, typed[:1]) if typed else ESCAPE
