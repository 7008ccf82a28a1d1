"""A web that asks nobody who they are is for this machine alone."""

from typing import Any, cast

import pytest

from celeriac.errors import ConfigurationError
from celeriac.exposure import require_closed
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "web.example.org"])  # noqa: S104
def test_web_that_others_reach_has_to_ask_who_it_is(host: str) -> None:
    with pytest.raises(Exception, match="CELERIAC_AUTHENTICATION=on"):
        require_closed(load_settings(join_stack=False, host=host))
    require_closed(load_settings(join_stack=False, host=host, authentication=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_web_on_loopback_asks_nobody(host: str) -> None:
    settings = load_settings(join_stack=False, host=host)

    require_closed(settings)  # It would raise.

    assert not settings.authentication


@pytest.mark.parametrize(
    "given",
    [
        {"host": "0.0.0.0"},  # noqa: S104
        {"trusted_proxies": 1},
        {"public_url": "https://celeriac.example.org"},
        {"public_url": "http://192.0.2.1:5000"},
        {"public_url": "https://localhost", "trusted_proxies": 2},
    ],
)
def test_app_that_others_reach_is_not_built_unless_it_asks_who_they_are(
    given: dict[str, Any],
) -> None:
    settings = load_settings(join_stack=False, **given)

    with pytest.raises(ConfigurationError, match="CELERIAC_AUTHENTICATION=on"):
        create_app(settings, cast(Runs, None))


@pytest.mark.parametrize("url", ["http://localhost:5000", "https://127.0.0.1", "http://[::1]:8000"])
def test_public_address_may_be_one_of_this_machine(url: str) -> None:
    settings = load_settings(join_stack=False, public_url=url)

    require_closed(settings)  # It would raise.

    assert not settings.authentication
