"""The file: a compressed tar archive of parts, and last of all what each must be."""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import celeriac
from celeriac.errors import ConfigurationError

CONTENTS: Final = "contents.json"
FORMAT: Final = 1


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
        try:
            folder = self._stack.enter_context(TemporaryDirectory(dir=self._file.parent))
            self._part.unlink(missing_ok=True)
            opened = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{self._file} cannot be written: {error.strerror}.") from None
        self._folder = Path(folder)
        stream = self._stack.enter_context(os.fdopen(opened, "wb"))
        self._tar = self._stack.enter_context(tarfile.open(fileobj=stream, mode="w:gz"))
        return self

    def add(self, name: str, save: Callable[[Path], str]) -> str:
        """Have a part saved into a file of its own, and take it in; gives the words for it."""
        path = self._folder / name
        words = save(path)
        self._sums[name] = _sum(path)
        self._tar.add(path, arcname=name)
        path.unlink()
        return words

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            path = self._folder / CONTENTS
            path.write_text(json.dumps(self._contents()))
            self._tar.add(path, arcname=CONTENTS)
        self._stack.close()
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        with Archive(self._part):  # Read as a restore will read it.
            self._part.rename(self._file)

    def _contents(self) -> dict[str, Any]:
        made_at = datetime.now(UTC).isoformat()
        version = celeriac.__version__
        return {"format": FORMAT, "celeriac": version, "made_at": made_at, "sha256": self._sums}


class Archive:
    """Reads the file into a folder that lasts until it is left; `parts` are files in there.

    Raises:
        ConfigurationError: it cannot be read, is damaged, or of a newer version.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stack = ExitStack()
        self.parts: dict[str, Path] = {}

    def __enter__(self) -> Self:
        try:
            self._read(Path(self._stack.enter_context(TemporaryDirectory())))
        except (OSError, EOFError, tarfile.TarError, ValueError, KeyError) as error:
            self._stack.close()
            raise ConfigurationError(f"{self._file} is no whole backup: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _read(self, folder: Path) -> None:
        with tarfile.open(self._file, "r:gz") as tar:
            tar.extractall(folder, filter="data")
        contents = json.loads((folder / CONTENTS).read_text())
        if contents["format"] != FORMAT:
            raise ValueError("a newer version of Celeriac made it.")
        for name, known in contents["sha256"].items():
            if _sum(folder / name) != known:
                raise ValueError(f"{name} is damaged.")
            self.parts[name] = folder / name


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
