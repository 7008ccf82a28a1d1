"""Which pages may ask for changes: our own, and programs, but no other site in a visitor's browser.

Browsers send forms without a body anywhere, with no question asked first. They do say where a
request comes from, and programs do not, so nothing is asked of those.
"""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from flask import Response, request

from celeriac.addresses import DEFAULT_PORTS
from celeriac.web.problems import problem

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN: Final = frozenset({"cross-site", "same-site"})


def refuse_cross_site() -> Response | None:
    """Answer 403 to a request for a change that a page of another origin makes."""
    if request.method in SAFE or not _is_foreign():
        return None
    return problem(
        403,
        "cross_site",
        "A page of another site asked for this change. Open Celeriac itself and ask there; behind "
        "a proxy, let it pass the Host header on as it came.",
        title="Asked by another site",
    )


def _is_foreign() -> bool:
    """Believe `Sec-Fetch-Site`, which pages cannot set; plain HTTP has the `Origin` alone."""
    if fetched_from := request.headers.get("Sec-Fetch-Site"):
        return fetched_from.lower() in FOREIGN
    origin = request.headers.get("Origin")
    return origin is not None and not _is_ours(origin)


def _is_ours(origin: str) -> bool:
    """Compare with the name that the request calls us; a proxy may have ended its TLS."""
    try:
        from_, here = urlsplit(origin), urlsplit(f"//{request.host}")
        return bool(from_.hostname) and _place(from_, from_.scheme) == _place(here, from_.scheme)
    except ValueError:
        return False


def _place(address: SplitResult, scheme: str) -> tuple[str | None, int | None]:
    return address.hostname, address.port or DEFAULT_PORTS.get(scheme)
