"""The output of a process as whole lines, bounded in memory whatever the process writes."""

import re
from collections.abc import Iterator

LONGEST_LINE_BYTES = 8192

# Terminal sequences and control characters: what a run's arguments put into a log line must not
# move the cursor or rename the window of the person who reads it.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class LineSplitter:
    """Turns chunks of bytes into lines; a line that is too long is cut, and says so."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._dropped_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Give the lines that this chunk completes."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._take(piece)
            yield self._line()
        self._take(rest)

    def flush(self) -> Iterator[str]:
        """Give what is left at the end: a line without its end."""
        if self._pending:
            yield self._line()

    def _take(self, piece: bytes) -> None:
        room = LONGEST_LINE_BYTES - len(self._pending)
        self._pending += piece[:room]
        self._dropped_bytes += max(0, len(piece) - room)

    def _line(self) -> str:
        text = CONTROL.sub("", self._pending.decode(errors="replace"))
        if self._dropped_bytes:
            text += f" [... {self._dropped_bytes} more bytes]"
        self._pending.clear()
        self._dropped_bytes = 0
        return text
