"""Calls a WSGI application for one HTTP request (PEP 3333) and collects what it answers."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import unquote_to_bytes

from celeriac.masking import masked_record
from celeriac.web.gateway.live import ENVIRON_KEY, Later, LiveStream
from celeriac.web.headers import HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Headers = list[tuple[bytes, bytes]]

SHORT_ANSWER_BYTES = 1024 * 1024
"""An answer of a known length up to here is sent in one piece."""

log = logging.getLogger(__name__)


def make_environ(scope: dict[str, Any], body: BinaryIO) -> "WSGIEnvironment":
    """Give the WSGI environ of an ASGI scope."""
    raw = scope.get("raw_path")
    path = unquote_to_bytes(raw) if raw else scope["path"].encode()
    root = scope.get("root_path", "").encode()
    host, port = scope.get("server") or ("localhost", 80)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.decode("latin-1"),
        "PATH_INFO": path.removeprefix(root).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,  # The end of the body is the end of the file.
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        ENVIRON_KEY: True,
    }
    for name, value in scope["headers"]:
        _add_header(environ, name, value.decode("latin-1"))
    return environ


def _add_header(environ: "WSGIEnvironment", name: bytes, value: str) -> None:
    variable = _variable(name)
    if variable is None:
        return
    if variable in environ:
        separator = "; " if variable == "HTTP_COOKIE" else ","
        value = f"{environ[variable]}{separator}{value}"
    environ[variable] = value


@lru_cache(maxsize=512)
def _variable(name: bytes) -> str | None:
    """Give the environ's name of a header, or None for one that could pose as another.

    `X_Forwarded_For` would become `HTTP_X_FORWARDED_FOR`, and `Proxy` sets `HTTP_PROXY`.
    """
    if b"_" in name or name == b"proxy":
        return None
    variable = name.decode("latin-1").upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"


@dataclass(frozen=True)
class Steps:
    """A body that the app makes step by step; one thread iterates over it, then closes it."""

    items: Iterator[bytes]
    close: Callable[[], object]


@dataclass(frozen=True)
class Reply:
    """What the app answered."""

    status: int
    headers: Headers
    body: bytes | Steps | LiveStream | Later = b""

    @property
    def is_endless(self) -> bool:
        """Tell whether the answer goes on until somebody ends it."""
        kind = dict(self.headers).get(b"content-type", b"")
        return isinstance(self.body, LiveStream) or kind.startswith(b"text/event-stream")


PROTECTION: Final = [
    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
    (b"cache-control", b"no-store"),
]
"""What the gateway's own answers tell browsers, as those of the app do."""


def plain_reply(status: int, text: bytes, **headers: bytes) -> Reply:
    """Make a reply of plain text."""
    all_headers = {"content_type": b"text/plain; charset=utf-8", **headers}
    all_headers["content_length"] = str(len(text)).encode()
    named = [(n.replace("_", "-").encode(), v) for n, v in all_headers.items()]
    return Reply(status, [*named, *PROTECTION], text)


CRASHED = plain_reply(500, b"Internal Server Error\n")


@dataclass
class AppCall:
    """One call of an application, in whichever thread runs it."""

    app: "WSGIApplication"
    environ: "WSGIEnvironment"
    _status: int = field(default=0, init=False)
    _headers: Headers = field(default_factory=list, init=False)
    _written: list[bytes] = field(default_factory=list, init=False)
    _is_sent: bool = field(default=False, init=False)

    def reply(self) -> Reply:
        """Call the app; collect a short body, leave any other to be iterated over."""
        try:
            body = self.app(self.environ, self._start_response)
            if isinstance(body, LiveStream | Later):
                return Reply(self._status, self._headers, body)
            return self._collect(body)
        except Exception:
            log.exception("The app failed at %s", masked_record(self.environ["PATH_INFO"]))
            return CRASHED

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        if exc_info and self._is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status and not exc_info:
            raise AssertionError("start_response was called twice without exc_info.")
        self._status = int(status[:3])
        self._headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        return self._written.append

    def _collect(self, body: Iterable[bytes]) -> Reply:
        close = getattr(body, "close", lambda: None)
        is_kept = False
        try:
            items = iter(body)
            if not self._status:  # A generator calls start_response with its first item.
                self._written.append(next(items, b""))
            if self._is_short():
                data = b"".join([*self._written, *items])
                return self._make_reply(b"" if self.environ["REQUEST_METHOD"] == "HEAD" else data)
            is_kept = self._is_sent = True
            return self._make_reply(Steps(self._after_written(items), close))
        finally:
            if not is_kept:
                close()

    def _make_reply(self, body: bytes | Steps) -> Reply:
        if not self._status:
            raise AssertionError("The app never called start_response.")
        return Reply(self._status, self._headers, body)

    def _is_short(self) -> bool:
        if self.environ["REQUEST_METHOD"] == "HEAD" or self._status in (204, 304):
            return True
        length = dict(self._headers).get(b"content-length", b"")
        return length.isdigit() and int(length) <= SHORT_ANSWER_BYTES

    def _after_written(self, items: Iterator[bytes]) -> Iterator[bytes]:
        """Give the items, each after what the app has passed to write() before it."""
        yield self._take_written()
        for item in items:
            yield self._take_written() + item
        yield self._take_written()

    def _take_written(self) -> bytes:
        written = b"".join(self._written)
        self._written.clear()
        return written
