"""Starts granian in this process around the gateway."""

import asyncio
import logging
import resource
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from celeriac.errors import ConfigurationError
from celeriac.web.gateway.asgi import Gateway
from celeriac.web.gateway.refusals import Patience

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

OPEN_REQUESTS = 8192
"""Above granian's default of 1024, which a thousand viewers would use up."""

BUFFER_BYTES = 64 * 1024
"""How much of a head is kept in memory; `refusals` has the limits within. granian's own default is
six times that, and each of thousands of connections may use it up."""

OPEN_FILES = 65_536
SAY_SO_WITHIN_S = 1.0
"""How long it may take to answer those whose requests are cut off."""

log = logging.getLogger(__name__)


def serve(
    app: "WSGIApplication",
    host: str,
    port: int,
    *,
    grace_s: float = 20.0,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> None:
    """Serve `app` in this process until SIGTERM or SIGINT, then let open requests finish.

    Live streams and waits are ended at once; what else is open has `grace_s` seconds, or until a
    second signal. What is not answered then gets a 503, and may be carried out all the same.

    Raises:
        ConfigurationError: nobody can listen on this address.
    """
    address = _check_address(host, port)
    _allow_many_connections()
    gateway = Gateway(app, patience=patience)
    server = Server(
        gateway,
        address=address,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=OPEN_REQUESTS,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(1000 * patience.head_s), max_buffer_size=BUFFER_BYTES
        ),
        log_level=LogLevels.error,
        log_dictconfig={"loggers": {"_granian": {"propagate": True}}},
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve_until_signal(server, gateway, grace_s))


async def _serve_until_signal(server: Server, gateway: Gateway, grace_s: float) -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    serving = asyncio.ensure_future(server.serve())
    await _first_of(serving, signals, None)
    gateway.stop()
    _silence_granian()
    server.stop()  # type: ignore[no-untyped-call]
    await _first_of(serving, signals, grace_s)
    if not serving.done():
        log.warning("Requests that were still open after the time of grace are cut off.")
        gateway.cut_off()
        await _first_of(serving, signals, SAY_SO_WITHIN_S)


async def _first_of(
    serving: asyncio.Future[None], signals: asyncio.Queue[int], timeout_s: float | None
) -> None:
    """Wait for the server's end, a signal, or the end of the time."""
    signal_came = asyncio.ensure_future(signals.get())
    try:
        first: set[asyncio.Future[Any]] = {serving, signal_came}
        await asyncio.wait(first, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signal_came.cancel()


def _silence_granian() -> None:
    """Keep granian from reporting each request that is cut off as a crash of the app."""
    granian = logging.getLogger("_granian")
    granian.addHandler(logging.NullHandler())
    granian.propagate = False
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)


def _check_address(host: str, port: int) -> str:
    """Give the numeric address of `host`, having checked that nobody listens there.

    granian shares its port with whoever asks for the same, so it would not notice.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port} ({error.strerror}). "
            "Stop the program that uses it, or choose another address."
        ) from error
    return str(address[0])


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1024, as far as this process may and needs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    with suppress(ValueError):  # Some systems have a lower limit than they tell.
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _loop_factory() -> Any:
    """Give uvloop's loop where it is installed: a third more requests a second."""
    try:
        from uvloop import new_event_loop  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return new_event_loop
