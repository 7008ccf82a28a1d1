"""Reverse proxies in front of the web: what they say of a client is believed where they are known.

Anybody can send `X-Forwarded-For`; only what the last proxies added to it is true. So as many hops
are believed as `CELERIAC_TRUSTED_PROXIES` says, and none unless it does.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from celeriac.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SETTING = "CELERIAC_TRUSTED_PROXIES"

log = logging.getLogger(__name__)


def behind_proxies(app: "WSGIApplication", settings: Settings) -> "WSGIApplication":
    """Let the app see clients as the proxies saw them.

    Each proxy adds the address of whom it hears to `X-Forwarded-For`. Scheme and host are no lists:
    the nearest proxy tells them, itself or by passing on what the one before it said.
    """
    hops = settings.trusted_proxies
    if not hops:
        return _Unexpected(app)
    return ProxyFix(app, x_for=hops, x_proto=1, x_host=1, x_port=0, x_prefix=0)


class _Unexpected:
    """Says once that a proxy seems to be there that nobody told of: all its clients look alike."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._is_said = False

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if not self._is_said and "HTTP_X_FORWARDED_FOR" in environ:
            self._is_said = True
            log.warning(
                "A request has X-Forwarded-For, which is not believed. If it comes through a proxy "
                "of yours, set %s=1 (or how many there are in a row).",
                SETTING,
            )
        return self._app(environ, start_response)
