"""Requests that are refused before Flask hears of them: too large a head, too slow a body.

granian (hyper) refuses by itself more than 100 headers or about half a megabyte of them (431), a
request line above 64 KiB (414), and what is no HTTP (400); it closes a connection on which the head
of a request takes too long. Source: granian 2.8.7, measured. Our limits are below those.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from celeriac.web.gateway.wsgi import PROTECTION, Reply

MOST_TARGET_BYTES: Final = 8 * 1024
"""Path and query; nginx takes as much."""

MOST_HEADER_BYTES: Final = 32 * 1024
"""All headers together, names and values."""


@dataclass(frozen=True)
class Patience:
    """How slow a client may be, in seconds.

    `head_s` is for the head of a request, and for an idle connection; `body_s` for a body that
    brings nothing, or less than `SLOWEST_BYTES_S`; `reader_s` for one who takes nothing of an
    answer that comes in chunks.
    """

    head_s: float = 20
    body_s: float = 30
    reader_s: float = 60


def problem_reply(status: int, title: str, code: str, detail: str) -> Reply:
    """Make a refusal for programs (RFC 9457); the connection is of no further use."""
    problem = {"type": "about:blank", "title": title, "status": status, "code": code}
    body = json.dumps(problem | {"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *PROTECTION,
    ]
    return Reply(status, headers, body)


LONG_TARGET: Final = problem_reply(
    414,
    "URI Too Long",
    "request_uri_too_long",
    f"The address is longer than {MOST_TARGET_BYTES} bytes. Send what is long in a body.",
)
LARGE_HEADERS: Final = problem_reply(
    431,
    "Request Header Fields Too Large",
    "request_header_fields_too_large",
    f"The headers are larger than {MOST_HEADER_BYTES} bytes; most likely the cookies are.",
)
UNCLEAR_HOST: Final = problem_reply(
    400, "Bad Request", "bad_request", "Each request has one Host header, and no more (RFC 9112)."
)
SLOW_BODY: Final = problem_reply(
    408, "Request Timeout", "request_timeout", "The body came too slowly. Send it again."
)


def refusal_of(scope: dict[str, Any]) -> Reply | None:
    """Give the answer to a request whose head is too large or unclear."""
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MOST_TARGET_BYTES:
        return LONG_TARGET
    size = hosts = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        hosts += name == b"host"
    if size > MOST_HEADER_BYTES:
        return LARGE_HEADERS
    return UNCLEAR_HOST if hosts > 1 else None
