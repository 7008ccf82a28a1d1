"""`celeriac health ROLE`: does a role do its work? Docker and the like ask it on its host."""

import socket
from collections.abc import Sequence
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated

import typer

from celeriac.errors import CeleriacError, UnknownWorkerError
from celeriac.settings import Settings, load_settings

ANSWERS_WITHIN_S = 10
FIRST_PROCESS = Path("/proc/1/cmdline")


class Role(StrEnum):
    """What can be asked how it is; each is the command that starts it."""

    WEB = "web"
    RECORDER = "recorder"
    WORKER = "worker"
    FLOWER = "flower"


def health(
    role: Annotated[
        Role | None,
        typer.Argument(
            help="The role that runs here; in a container, unless given, its first process."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The worker's name.", envvar="CELERIAC_WORKER_NAME")
    ] = "worker1",
) -> None:
    """Tell whether a role of this host does its work; the exit code is 1 when it does not."""
    role = role or _role_in(_words_of_first_process())
    settings = load_settings()
    try:
        problem = _problem(role, settings, f"{name}@{socket.gethostname()}")
    except CeleriacError as error:
        problem = str(error)
    print(problem or f"The {role} is well.")
    raise typer.Exit(1 if problem else 0)


def _words_of_first_process() -> Sequence[str]:
    """Give the command of a container's first process; where there is no such file, nothing."""
    try:
        return FIRST_PROCESS.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ()


def _role_in(words: Sequence[str]) -> Role:
    """Find the role in a command, which may begin with an interpreter or an init."""
    places = [place for place, word in enumerate(words) if word.rpartition("/")[2] == "celeriac"]
    for word in (words[place + 1] for place in places if place + 1 < len(words)):
        if word in list(Role):
            return Role(word)
    raise typer.BadParameter("is needed: this is no container of a role.", param_hint="ROLE")


def _problem(role: Role, settings: Settings, worker: str) -> str | None:
    match role:
        case Role.WEB:
            return _served(settings.host, settings.port, "/readyz")
        case Role.FLOWER:
            return _served(settings.host, settings.flower_port, "/flower/healthcheck")
        case Role.RECORDER:
            return _recorder(settings)
        case Role.WORKER:
            return _worker(settings, worker)


def _served(host: str, port: int, path: str) -> str | None:
    """Ask for a page, which is to be answered with 200; what the answer says is the problem."""
    from celeriac.stack.addresses import reachable

    connection = HTTPConnection(reachable(host), port, timeout=ANSWERS_WITHIN_S)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(2000).decode(errors="replace").strip()
        return None if answer.status == 200 else f"{path} answers {answer.status}: {text}"
    except (OSError, HTTPException) as error:
        return f"Nothing answers on port {port}: {str(error) or type(error).__name__}."
    finally:
        connection.close()


def _recorder(settings: Settings) -> str | None:
    from celeriac.runs import EventStream

    lag = EventStream(settings.require_urls()[1]).lag()
    return None if lag.is_running and not lag.problem else lag.words


def _worker(settings: Settings, name: str) -> str | None:
    """A worker tells of itself from a thread of its own; only its loop answers a ping."""
    from celeriac.runs import Runs

    workers = Runs.of(settings).workers
    try:
        worker = workers.get(name)
    except UnknownWorkerError:
        return f"{name} has not told of itself yet."
    if not worker.state.is_alive:
        return f"{name} is {worker.state}."
    if not worker.connected:
        return f"{name} is not connected to the broker."
    if not (worker.queues or worker.paused):
        return f"{name} consumes no queue."
    return None if workers.answers(name) else f"{name} does not answer a ping."
