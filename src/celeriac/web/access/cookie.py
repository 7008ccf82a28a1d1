"""The cookie of a session: a secret by chance that says nothing, and that no script can read."""

from datetime import timedelta
from typing import Final

from flask import Response, request

from celeriac.web.context import settings

PLAIN: Final = "celeriac_session"
BOUND: Final = "__Host-celeriac-session"
"""Browsers take it from this host alone, over TLS alone, and let no neighbour overwrite it."""


def secret() -> str | None:
    """Give the secret that the browser has sent."""
    return request.cookies.get(_name())


def give(response: Response, text: str, lasts: timedelta) -> None:
    """Let the browser keep a secret."""
    response.set_cookie(
        _name(),
        text,
        max_age=lasts,
        path="/",
        secure=is_secure() or request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def take_away(response: Response) -> None:
    """Let the browser forget its secret."""
    response.delete_cookie(
        _name(),
        path="/",
        secure=is_secure() or request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def is_secure() -> bool:
    """Tell whether people reach the web over TLS."""
    return (settings().public_url or "").startswith("https://")


def _name() -> str:
    return BOUND if is_secure() else PLAIN
