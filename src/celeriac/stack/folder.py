"""The data directory of `celeriac up`: its lock, its secrets, and what it tells other commands."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from celeriac.errors import ConfigurationError
from celeriac.settings import STACK_FILE, Settings

STACK_FIELDS = ("broker_url", "redis_url", "host", "port", "flower_port")
"""What a command in another terminal needs in order to find the servers; whatever else somebody
chose is told as well, so that both agree on queues, apps and limits."""

SECRET_KEY = "secret.key"  # noqa: S105 - the name of a file
FLOWER_PASSWORD = "flower.password"  # noqa: S105 - the name of a file
ONLY_FOR_ROLES = {"secret_key", "flower_basic_auth", "smtp_url", "data_dir"}


class DataFolder:
    """A directory that one `celeriac up` at a time owns, from entering it until leaving it.

    Raises:
        ConfigurationError: it cannot be made or written, or somebody else owns it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        with self._explained():
            if not self.path.is_dir():
                self._make()
            self._lock = self._locked()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.lock)

    @property
    def lock(self) -> int:
        """Give the descriptor that holds the lock, for a process that outlives this one."""
        assert self._lock is not None, "the data directory was not entered"
        return self._lock

    @property
    def stack_file(self) -> Path:
        """Give where other commands look for the addresses."""
        return self.path / STACK_FILE

    def secret(self, name: str) -> SecretStr:
        """Give the secret kept in this file, made at the first call."""
        return SecretStr(self.remembered(name, lambda: secrets.token_urlsafe(32)))

    def remembered(self, name: str, make: Callable[[], str]) -> str:
        """Give what the file holds, or write what `make` gives."""
        return self._read(name) or self.remember(name, make())

    def remember(self, name: str, text: str) -> str:
        """Keep the text in a file that only the owner can read."""
        with self._explained():
            write_private(self.path / name, text + "\n")
        return text

    def make_folder(self, name: str) -> Path:
        """Make a folder inside that only the owner can enter."""
        with self._explained():
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        return self.path / name

    def write_stack_file(self, settings: Settings) -> None:
        """Tell other commands in this folder where the servers are."""
        with self._explained():
            write_private(self.stack_file, stack_lines(settings))

    def _read(self, name: str) -> str:
        with self._explained():
            try:
                os.chmod(self.path / name, 0o600)
                return (self.path / name).read_text().strip()
            except FileNotFoundError:
                return ""

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True)
        # Keys and passwords must not end up in somebody's repository.
        (self.path / ".gitignore").write_text("*\n")

    def _locked(self) -> int:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ConfigurationError(
                f"Another `celeriac up` runs on {self.path}. Stop it, "
                "or name another directory with CELERIAC_DATA_DIR."
            ) from None
        # `celeriac doctor` asks the system where this process prints.
        os.truncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        return lock

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"The data directory {self.path} cannot be used: {error.strerror} "
                f"({error.filename or self.path}). Make it writable, "
                "or name another with CELERIAC_DATA_DIR."
            ) from None


def made_secrets(path: Path) -> dict[str, SecretStr]:
    """Give the settings whose secrets earlier starts have made and kept in this directory."""
    found = {}
    for name, file in (("secret_key", SECRET_KEY), ("flower_basic_auth", FLOWER_PASSWORD)):
        with suppress(OSError, UnicodeDecodeError):
            if text := (path / file).read_text().strip():
                found[name] = SecretStr(text if name == "secret_key" else for_flower(text))
    return found


def for_flower(password: str) -> str:
    """Give what the web shows Flower, with a password that was made."""
    return f"celeriac:{password}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only the owner can read; a reader sees the old or the new one, whole."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def stack_lines(settings: Settings) -> str:
    """Give the settings that locate the servers, as lines of a `.env` file."""
    chosen = settings.model_fields_set - ONLY_FOR_ROLES
    values = {name: getattr(settings, name) for name in sorted({*STACK_FIELDS, *chosen})}
    return "".join(
        f"CELERIAC_{name.upper()}={_quoted(value)}\n"
        for name, value in values.items()
        if value is not None
    )


def _quoted(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
