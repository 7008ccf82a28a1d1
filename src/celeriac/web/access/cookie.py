"""The cookies: a session's is a secret by chance that says nothing; no script can read either."""

from datetime import timedelta
from typing import Final

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from celeriac.web.context import settings

PLAIN: Final = "celeriac_session"
BOUND: Final = "__Host-celeriac-session"
"""Browsers take it from this host alone, over TLS alone, and let no neighbour overwrite it."""
FORMS_PLAIN: Final = "celeriac"
FORMS_BOUND: Final = "__Host-celeriac"
"""The cookie that forms are compared with, and that holds what the next page tells."""


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
        secure=_is_sent_by_tls(),
        httponly=True,
        samesite="Lax",
    )


def take_away(response: Response) -> None:
    """Let the browser forget its secret."""
    response.delete_cookie(
        _name(),
        path="/",
        secure=_is_sent_by_tls(),
        httponly=True,
        samesite="Lax",
    )


class FormCookies(SecureCookieSessionInterface):
    """Keeps the cookie of forms as well as that of a session, for both are needed to change."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Begin anew at once where no cookie came; programs send none."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        return FORMS_BOUND if settings().is_public_over_tls else FORMS_PLAIN

    def get_cookie_secure(self, app: Flask) -> bool:
        return _is_sent_by_tls()

    def get_cookie_samesite(self, app: Flask) -> str:
        return "Lax"


def _is_sent_by_tls() -> bool:
    return settings().is_public_over_tls or request.is_secure


def _name() -> str:
    return BOUND if settings().is_public_over_tls else PLAIN
