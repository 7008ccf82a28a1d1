"""A disk with so little room that a test can fill it."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

SIZE = "64m"  # More than the history takes of all runs on a slow machine.
CHUNK = bytes(64 * 1024)


@dataclass(frozen=True)
class SmallDisk:
    """A folder on it. Who may not mount one limits the size of its writer's files instead."""

    folder: Path
    is_mounted: bool

    def fill(self, writer_pid: int) -> None:
        """Leave no room to this process."""
        if self.is_mounted:
            self._take_all()
        else:
            largest = max(path.stat().st_size for path in self.folder.iterdir())
            _limit(writer_pid, largest)

    def free(self, writer_pid: int) -> None:
        """Give the room back."""
        if self.is_mounted:
            self._filler.unlink()
        else:
            _limit(writer_pid, resource.RLIM_INFINITY)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def _take_all(self) -> None:
        with self._filler.open("wb", buffering=0) as file, _until_it_is_full():
            while True:
                file.write(CHUNK)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Give a small disk, mounted on this folder where that is allowed."""
    is_mounted = os.geteuid() == 0 and not _run(
        "mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder
    )
    try:
        yield SmallDisk(folder, is_mounted)
    finally:
        if is_mounted:
            _run("umount", "--lazy", folder)


@contextmanager
def _until_it_is_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        assert error.errno == errno.ENOSPC


def _limit(pid: int, size_bytes: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


def _run(*command: str | Path) -> int:
    return run(command, check=False, capture_output=True).returncode
