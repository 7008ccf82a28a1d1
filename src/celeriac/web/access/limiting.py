"""Refuses those who ask too often, and tells the API's clients what they have left.

Each token and each person have a limit of their own, and so has each address for those who have
shown nothing. All who come from one address have ten times as much together, which also bounds what
looking at bad tokens costs. A live stream counts once, when it opens; health and static files do
not count.
"""

from dataclasses import dataclass
from typing import Final, cast

from flask import Flask, Response, current_app, request

from celeriac.access import Identity
from celeriac.access.errors import TooManyRequestsError
from celeriac.settings import Settings
from celeriac.web.access.rates import Left, Rate, SharedCounts, address_key
from celeriac.web.access.recording import KEY
from celeriac.web.problems import API_PREFIX

EXTENSION: Final = "celeriac.rates"
LEFT: Final = "celeriac.rate_left"
"""Where in a request's environ it stands what is left after it."""
AT_ONE_ADDRESS: Final = 10
"""So many times the limit is for all that come from one address, such as an office."""
POLICY: Final = '"default"'


@dataclass(frozen=True)
class Rates:
    """The limits of one app: `asker` for each who asks, `address` for all at one address."""

    asker: Rate
    address: Rate


def prepare(app: Flask, settings: Settings) -> None:
    """Make the limits, where the settings have any; nothing is connected to yet."""
    if (text := settings.request_rate) is not None:
        url = settings.redis_url
        counts = SharedCounts(url.get_secret_value() if url else None)
        rates = Rates(Rate(counts, text), Rate(counts, text, AT_ONE_ADDRESS))
        app.extensions[EXTENSION] = rates


def check_address() -> None:
    """Count a request, before anything is looked up for it.

    Raises:
        TooManyRequestsError: too many came from this address.
    """
    if (rates := _rates()) is not None:
        _spend(rates.address, f"all:{_address()}")


def check_asker() -> None:
    """Count a request of whoever asks.

    Raises:
        TooManyRequestsError: they asked too often.
    """
    if (rates := _rates()) is not None:
        request.environ[LEFT] = _spend(rates.asker, _asker())


def tell_rate(response: Response) -> Response:
    """Tell programs what is left (draft-ietf-httpapi-ratelimit-headers-09)."""
    left: Left | None = request.environ.get(LEFT)
    if left is not None and request.path.startswith(API_PREFIX):
        rate = cast(Rates, _rates()).asker
        response.headers["RateLimit-Policy"] = f"{POLICY};q={rate.amount};w={rate.window_s}"
        response.headers["RateLimit"] = f"{POLICY};r={left.count};t={left.wait_s}"
    return response


def _rates() -> Rates | None:
    if request.blueprint == "health" or request.endpoint == "static":
        return None
    found: Rates | None = current_app.extensions.get(EXTENSION)
    return found


def _spend(rate: Rate, key: str) -> Left:
    may, left = rate.spend(key)
    if not may:
        request.environ[LEFT] = left
        raise TooManyRequestsError(rate.amount, rate.window_s, left.wait_s)
    return left


def _asker() -> str:
    who: Identity | None = request.environ.get(KEY)
    if who is None:
        return f"address:{_address()}"
    return f"token:{who.token_id}" if who.token_id else f"user:{who.user_id or who.name}"


def _address() -> str:
    return address_key(request.remote_addr or "")
