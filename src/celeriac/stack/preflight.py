"""What must hold before anything starts; the data directory has its own checks in `folder`."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from celeriac.errors import ConfigurationError
from celeriac.exposure import flower_host
from celeriac.settings import Settings

MISCONFIGURED = 2
"""The exit code by which a process of ours says that starting it again is of no use."""


def check_ports(settings: Settings) -> None:
    """Check that the web and Flower can listen where the settings say.

    Raises:
        ConfigurationError: they cannot; the message names the flag and the variable to change.
    """
    if settings.port == settings.flower_port:
        raise ConfigurationError(
            f"The web and Flower cannot share port {settings.port}. "
            "Change --port (CELERIAC_PORT) or --flower-port (CELERIAC_FLOWER_PORT)."
        )
    _check_port(settings.host, settings.port, "the web", "--port (CELERIAC_PORT)")
    flower_flag = "--flower-port (CELERIAC_FLOWER_PORT)"
    _check_port(flower_host(settings), settings.flower_port, "Flower", flower_flag)


def check_tasks(settings: Settings, environment: Mapping[str, str]) -> None:
    """Import the tasks that somebody named, in a process of its own, before every role does.

    Raises:
        ConfigurationError: they cannot be imported; the message tells why.
    """
    if not (settings.app or settings.tasks):
        return
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "tasks", "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == MISCONFIGURED:
        raise ConfigurationError(done.stderr.strip().splitlines()[-1].removeprefix("celeriac: "))


def can_listen(host: str, port: int) -> OSError | None:
    """Listen for a moment and give what stands against it, if anything does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            # As servers do: connections of an earlier start in TIME_WAIT are no obstacle.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        return error
    return None


def _check_port(host: str, port: int, who: str, how: str) -> None:
    obstacle = can_listen(host, port)
    if obstacle is None:
        return
    if obstacle.errno == errno.EADDRINUSE:
        raise ConfigurationError(
            f"Port {port} on {host} is taken by another program, so {who} cannot listen there. "
            f"Choose another with {how}."
        )
    if obstacle.errno == errno.EACCES:
        raise ConfigurationError(
            f"Port {port} needs more rights than you have. Choose one above 1023 with {how}."
        )
    raise ConfigurationError(
        f"Nothing can listen on {host}: {obstacle.strerror}. "
        "Change the address with CELERIAC_HOST, for example to 127.0.0.1."
    )
