"""The way from the web to Flower: what it hears of a request, and what of its answer leaves.

Headers that are not named here go neither way. So Flower gets no cookie, token or name of ours, a
browser gets no cookie of Flower's, and what belongs to one connection stays there.
"""

import http.client
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from email.message import Message
from threading import BoundedSemaphore
from typing import Final
from urllib.parse import urljoin, urlsplit

from werkzeug.datastructures import Headers

from celeriac.errors import FlowerUnavailableError
from celeriac.exposure import flower_url
from celeriac.settings import Settings

ASKED: Final = (
    "Accept", "Accept-Language", "Content-Type", "If-Modified-Since", "If-None-Match",
)  # fmt: skip
ANSWERED: Final = (
    "Allow", "Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Etag",
    "Last-Modified", "Retry-After", "Vary",
)  # fmt: skip
CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """How far Flower is waited for, in seconds, and listened to, in bytes.

    `silence_s` is above what Flower itself waits for workers; `at_once` requests wait for it at a
    time, so that a Flower that hangs leaves threads to everybody else.
    """

    connect_s: float = 3
    silence_s: float = 30
    longest_s: float = 120
    most_bytes: int = 64 * 1024 * 1024
    at_once: int = 32


@dataclass(frozen=True)
class Question:
    """One request to Flower; `target` is its path and query, as they stand in a request line."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What Flower answers; `close` ends the connection to it, whatever is left of the body."""

    status: int
    headers: Headers
    body: Iterator[bytes]
    close: Callable[[], None]


def asked_headers(headers: Headers) -> dict[str, str]:
    """Give what Flower hears of the headers of a request."""
    return {name: headers[name] for name in ASKED if name in headers}


def answered_headers(headers: Message, url: str) -> Headers:
    """Give what leaves of the headers of an answer; one that leads away leads to Flower at ours."""
    found = Headers((name, headers[name]) for name in ANSWERED if name in headers)
    if "Location" in headers:
        place = urlsplit(urljoin(f"{url}/flower/", headers["Location"]))
        query = f"?{place.query}" if place.query else ""
        found["Location"] = f"/{place.path.lstrip('/')}{query}"
    return found


class FlowerLink:
    """Asks the Flower that the settings name; a connection for each question."""

    def __init__(self, settings: Settings, limits: Limits = Limits()) -> None:
        self._url = flower_url(settings)
        self._limits = limits
        self._free = BoundedSemaphore(limits.at_once)
        shown = settings.flower_basic_auth
        self._shown = _basic(shown.get_secret_value()) if shown else {}

    def ask(self, question: Question) -> Answer:
        """Ask, and give the answer when it begins.

        Raises:
            FlowerUnavailableError: it does not answer, refuses us, or has failed.
        """
        if not self._free.acquire(blocking=False):
            raise FlowerUnavailableError("Flower has too much to do already. Try again.")
        try:
            return self._answer(question)
        except (OSError, http.client.HTTPException) as error:
            raise FlowerUnavailableError(
                f"Flower does not answer at {self._url}. It may not have been started."
            ) from error
        finally:
            self._free.release()

    def _answer(self, question: Question) -> Answer:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(self._connection()))
            answer = opened.enter_context(closing(self._ask(connection, question)))
            self._check(answer.status)
            headers = answered_headers(answer.headers, self._url)
            return Answer(answer.status, headers, self._body(answer), opened.pop_all().close)

    def _connection(self) -> http.client.HTTPConnection:
        parts, timeout_s = urlsplit(self._url), self._limits.connect_s
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)

    def _ask(
        self, connection: http.client.HTTPConnection, question: Question
    ) -> http.client.HTTPResponse:
        connection.connect()
        connection.sock.settimeout(self._limits.silence_s)
        headers = {**asked_headers(question.headers), **self._shown, "Connection": "close"}
        connection.request(question.method, question.target, question.body or None, headers)
        return connection.getresponse()

    def _check(self, status: int) -> None:
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise FlowerUnavailableError(
                "Flower runs, and refuses the web. Start both with the same "
                "CELERIAC_FLOWER_BASIC_AUTH=USER:PASSWORD."
            )
        if status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise FlowerUnavailableError("Flower failed at this; its own log tells more.")

    def _body(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """Give the body as it comes; one that is cut short, or has no end, is an error."""
        size, began_s = 0, time.monotonic()
        while chunk := answer.read1(CHUNK_BYTES):
            size += len(chunk)
            late = time.monotonic() - began_s > self._limits.longest_s
            if late or size > self._limits.most_bytes:
                raise FlowerUnavailableError("Flower's answer is too long.")
            yield chunk
        if answer.length:
            raise FlowerUnavailableError("Flower's answer broke off.")


def _basic(user_and_password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(user_and_password.encode()).decode()}"}
