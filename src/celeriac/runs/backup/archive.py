"""The file: a compressed tar archive of parts, and last of all what each must be."""

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from gzip import BadGzipFile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import celeriac
from celeriac.errors import ConfigurationError

CONTENTS: Final = "contents.json"
FORMAT: Final = 1
_DAMAGED: Final = (
    BadGzipFile,
    EOFError,
    FileNotFoundError,
    KeyError,
    ValueError,
    tarfile.TarError,
    zlib.error,
)
"""What reading raises when bytes are missing or are others; so is a part that is not there."""


class Writer:
    """Writes the file beside its place and names it at the end, so that no half of one is left.

    Raises:
        ConfigurationError: it is there already, or cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._part = self._file.with_name(f"{self._file.name}.part")
        self._sums: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._file.exists():
            raise ConfigurationError(f"{self._file} is there already, and is not overwritten.")
        with self._writing():
            folder = self._stack.enter_context(TemporaryDirectory(dir=self._file.parent))
            self._part.unlink(missing_ok=True)
            opened = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._folder = Path(folder)
        stream = self._stack.enter_context(os.fdopen(opened, "wb"))
        self._tar = self._stack.enter_context(tarfile.open(fileobj=stream, mode="w:gz"))
        return self

    def add(self, name: str, save: Callable[[Path], str]) -> str:
        """Have a part saved into a file of its own, and take it in; gives the words for it."""
        path = self._folder / name
        with self._writing():
            words = save(path)
            self._sums[name] = _sum(path)
            self._tar.add(path, arcname=name)
            path.unlink()
        return words

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._writing(), self._stack:
                if kind is None:
                    path = self._folder / CONTENTS
                    path.write_text(json.dumps(self._contents()))
                    self._tar.add(path, arcname=CONTENTS)
            if kind is None:
                with Archive(self._part):  # Read as a restore will read it.
                    self._part.rename(self._file)
        finally:
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(f"{self._file} cannot be written: {error.strerror}.") from None

    def _contents(self) -> dict[str, Any]:
        made_at = datetime.now(UTC).isoformat()
        version = celeriac.__version__
        return {"format": FORMAT, "celeriac": version, "made_at": made_at, "sha256": self._sums}


class Archive:
    """Reads the file into a folder that lasts until it is left; `parts` are files in there.

    That folder is beside the file, where there is room for such; `/tmp` may be memory.

    Raises:
        ConfigurationError: it cannot be read or unpacked, is damaged, or of a newer version.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stack = ExitStack()
        self.parts: dict[str, Path] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._read(Path(stack.enter_context(TemporaryDirectory(dir=self._file.parent))))
            except _DAMAGED as error:
                raise ConfigurationError(f"{self._file} is no whole backup: {error}") from None
            except OSError as error:
                raise ConfigurationError(
                    f"{self._file} cannot be unpacked in its folder: {error.strerror}."
                ) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _read(self, folder: Path) -> None:
        with tarfile.open(self._file, "r:gz") as tar:
            for member in tar:
                _extract(tar, member, folder)
        contents = json.loads((folder / CONTENTS).read_text())
        if contents["format"] != FORMAT:
            raise ValueError("a newer version of Celeriac made it.")
        for name, known in contents["sha256"].items():
            if _sum(folder / name) != known:
                raise ValueError(f"{name} is damaged.")
            self.parts[name] = folder / name


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a part into the folder; `extractall` is safe from Python 3.11.4 on alone."""
    source = tar.extractfile(member) if member.isreg() and "/" not in member.name else None
    if source is None:
        raise ValueError(f"{member.name} is no part of one.")
    with source, (folder / member.name).open("wb") as target:
        shutil.copyfileobj(source, target)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
