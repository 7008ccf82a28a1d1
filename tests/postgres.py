"""A real PostgreSQL server for the tests, on a free port of the loopback interface.

It takes nothing from what else runs or is installed as a service. PostgreSQL refuses to run as
root; there, an ordinary user of the system runs it, in a folder that this user can reach.
"""

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run

import psutil

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from servers import clean_environment, missing

FOLDERS = (
    *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
    *sorted(Path("/opt/homebrew/opt").glob("postgresql*/bin"), reverse=True),
    *sorted(Path("/usr/local/opt").glob("postgresql*/bin"), reverse=True),
)
ORDINARY_USERS = ("postgres", "nobody")
USER = "celeriac"
Command = list[str | Path]
OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # A killed server loses nothing by this, only a machine without power would.
    "fsync": "off",
    "max_connections": "50",
}


@dataclass
class PostgresServer:
    """A PostgreSQL server; `stop()` and `start()` again keep the port and the data."""

    programs: Path
    folder: Path
    data: Path
    as_user: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: ChildProcess = field(init=False)

    def __post_init__(self) -> None:
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        postgres = self.programs / "postgres"
        self.process = ChildProcess(
            command=[*self.as_user, postgres, "-D", self.data, "-p", str(self.port), *options],
            log_path=self.folder / "postgres.log",
            env=clean_environment(self.data),
            cwd=self.data,
        )

    @property
    def url(self) -> str:
        """Give the address of the database that is always there."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """Give the address of a database."""
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{name}"

    def initialize(self) -> None:
        """Make the cluster."""
        options = ("--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8")
        command: Command = [*self.as_user, self.programs / "initdb", "-D", self.data, *options]
        env = clean_environment(self.data)
        done = run(
            [*command, "--locale=C.UTF-8"], env=env, cwd=self.data, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def start(self) -> None:
        """Start, and return when it accepts connections."""
        # After a crash its shared memory is in use until the last of its processes has seen it.
        eventually(self._started, deadline_s=30)

    def stop(self) -> None:
        """Stop in good order, without waiting for clients."""
        # SIGTERM, which follows, would wait until the last client has gone.
        os.kill(self.process.pid, signal.SIGINT)
        self.process.stop()

    def kill(self) -> None:
        """Crash: end every process of it at once."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in family:
            if process.is_running():
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def create_database(self, name: str) -> str:
        """Make an empty database and give its address."""
        command: Command = [
            self.programs / "createdb",
            "-h",
            LOOPBACK,
            "-p",
            str(self.port),
            "-U",
            USER,
        ]
        run([*command, name], env=clean_environment(self.data), cwd=self.data, check=True)
        return self.database_url(name)

    def _started(self) -> bool:
        if not self.process.is_running:
            self.process.start()
        return is_listening(self.port) and self._answers()

    def _answers(self) -> bool:
        command: Command = [self.programs / "pg_isready", "-h", LOOPBACK, "-p", str(self.port)]
        env = clean_environment(self.data)
        return run(command, env=env, capture_output=True, check=False).returncode == 0


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """Run PostgreSQL; its log is in this folder, and so is its data unless root runs the tests."""
    found = [path for path in FOLDERS if (path / "postgres").exists()]
    programs = found[0] if found else missing("PostgreSQL", "postgresql")
    with _data_folder(folder) as (data, as_user):
        server = PostgresServer(programs, folder, data, as_user)
        server.initialize()
        try:
            server.start()
            yield server
        except AssertionError as error:
            raise AssertionError(f"{error}\n{tail(server.process.log_path)}") from error
        finally:
            if server.process.is_running:
                server.kill()


@contextmanager
def _data_folder(folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """Give a folder for the data, and the command that becomes the user who owns it."""
    if os.geteuid() != 0:
        data = folder / "data"
        data.mkdir()
        yield data, ()
        return
    user = _ordinary_user()
    # Nobody but root can enter pytest's folders.
    data = Path(tempfile.mkdtemp(prefix="celeriac-postgres-"))
    try:
        os.chown(data, user.pw_uid, user.pw_gid)
        who = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        # Becoming somebody else forgets the signal that `ChildProcess` has asked for.
        yield data, ("setpriv", *who, "--pdeathsig=KILL", "--")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _ordinary_user() -> pwd.struct_passwd:
    for name in ORDINARY_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    missing("A user to run PostgreSQL as", "postgresql")
