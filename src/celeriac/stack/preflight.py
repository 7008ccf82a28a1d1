"""What must hold before anything starts; the data directory has its own checks in `folder`."""

import errno
import socket

from celeriac.errors import ConfigurationError
from celeriac.settings import Settings


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
    _check_port(
        settings.host, settings.flower_port, "Flower", "--flower-port (CELERIAC_FLOWER_PORT)"
    )


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
