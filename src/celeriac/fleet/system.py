"""What the operating system knows of a worker; where it does not tell, nothing is known."""

import os
from contextlib import suppress
from pathlib import Path


def load_average() -> list[float]:
    """Give the host's load over 1, 5 and 15 minutes, or nothing."""
    with suppress(OSError, AttributeError):
        return [round(number, 2) for number in os.getloadavg()]
    return []


def memory_bytes(pid: int) -> int | None:
    """Give the resident memory of a process and its children, or None."""
    try:
        pages = sum(_resident_pages(each) for each in (pid, *_children(pid)))
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (ProcessLookupError, FileNotFoundError):
        return 0  # It has ended meanwhile.


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            children += map(int, (thread / "children").read_text().split())
    return children
