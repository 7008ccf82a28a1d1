"""Headers that answers have whoever made them: what browsers may do, and when to come again."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import Response

from celeriac.errors import TransientError
from celeriac.settings import Settings
from celeriac.web.context import guard

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), "
    "payment=(), serial=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What each answer has, of the app, of the static files, and of the gateway before them."""
TLS_ALONE: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year, browsers come to this host by TLS alone; its subdomains may be somebody else's."""
PRIVATE: Final = "no-store"
"""No cache, and no Back button after signing out, shows what somebody was shown."""
ASKED_AGAIN: Final = "private, no-cache"


def headers_for(settings: Settings) -> dict[str, str]:
    """Give what each answer of the app has; where people come by TLS, that they keep to it."""
    return HEADERS | (TLS_ALONE if settings.is_public_over_tls else {})


def add_headers(headers: Mapping[str, str], response: Response) -> Response:
    """Add each header that the view did not set itself."""
    known = {name.lower() for name, _ in response.headers}
    wanted = {**headers, "Cache-Control": PRIVATE if guard() else ASKED_AGAIN}
    response.headers.extend([each for each in wanted.items() if each[0].lower() not in known])
    if response.status_code == 503:
        response.headers.setdefault("Retry-After", str(TransientError.retry_after_s))
    return response


def with_headers(app: "WSGIApplication", headers: Mapping[str, str]) -> "WSGIApplication":
    """Let every answer of an app have the headers, also those that Flask does not hear of."""

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
            known = {name.lower() for name, _ in given}
            more = [each for each in headers.items() if each[0].lower() not in known]
            return start_response(status, [*given, *more], *error)

        return app(environ, start)

    return call
