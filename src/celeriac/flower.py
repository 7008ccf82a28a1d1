"""The flower role: Flower on the same Celery app as the workers, for the web to show.

The web asks it by a password and shows it at `/flower/` to those who have signed in.
"""

from collections.abc import Sequence

import flower.app
from flower.urls import settings as served
from flower.views.monitor import Healthcheck, Metrics
from tornado.web import RedirectHandler, authenticated

from celeriac.app import create_app
from celeriac.errors import ConfigurationError
from celeriac.exposure import is_loopback
from celeriac.flower_events import ListeningEvents
from celeriac.masking import know_options
from celeriac.settings import Settings
from celeriac.start_wait import wait_for_broker

PREFIX = "flower"
"""Where the web shows it; Flower writes this into each address of its pages."""


def run_flower(settings: Settings, options: Sequence[str] = ()) -> None:
    """Serve Flower until it is told to stop; `options` are Flower's own and win.

    Raises:
        ConfigurationError: an address is missing, a module of tasks cannot be imported, or
            strangers could use it.
        BrokerUnavailableError: it did not answer for `start_wait_s`.
    """
    know_options(options)
    ours = [
        f"--address={settings.host}",
        f"--port={settings.flower_port}",
        f"--url_prefix={PREFIX}",
        f"--logging={'debug' if settings.log_level == 'DEBUG' else 'warning'}",
    ]
    if settings.flower_basic_auth:
        ours.append(f"--basic_auth={settings.flower_basic_auth.get_secret_value()}")
    _require_closed(settings, [*ours, *options])
    _close_metrics()
    _tell_health()
    _lead_below_prefix()
    app = create_app(settings)
    with app.connection_for_read() as connection:
        wait_for_broker(connection, "flower", settings.start_wait_s)
    app.start(["flower", *ours, *options])


def _require_closed(settings: Settings, options: Sequence[str]) -> None:
    given = dict(_named(option) for option in options)
    if given.get("basic_auth") or given.get("auth"):
        return
    if is_loopback(given["address"]) and not settings.authentication:
        return
    why = (
        f"Flower would listen on {given['address'] or 'every address'} and ask nobody who they are"
        if not is_loopback(given["address"])
        else "CELERIAC_AUTHENTICATION is on, and Flower would ask nobody on this machine"
    )
    raise ConfigurationError(
        f"{why}. Set CELERIAC_FLOWER_BASIC_AUTH=USER:PASSWORD here and, the same, for the web, "
        "which shows Flower at /flower/; `openssl rand -hex 32` makes a password."
    )


def _named(option: str) -> tuple[str, str]:
    """Read an option as Flower does: any number of dashes, and `-` or `_` within."""
    name, _, value = option.lstrip("-").partition("=")
    return name.replace("-", "_"), value


def _close_metrics() -> None:
    """Let the metrics ask who wants them, as all pages do: they name every task and worker.

    Source: Flower 2.2, `flower/views/monitor.py`.
    """
    Metrics.get = authenticated(Metrics.get)


def _tell_health() -> None:
    """Have `/healthcheck` say whether Flower does its work; its own says that it answers.

    Source: Flower 2.2, `flower/app.py`, `flower/views/monitor.py`.
    """
    flower.app.Events = ListeningEvents
    Healthcheck.get = _health


async def _health(handler: Healthcheck) -> None:
    if handler.application.events.listens:
        handler.write("OK")
    else:
        handler.set_status(503)
        handler.write("Flower hears no events, since the broker does not answer.")


def _lead_below_prefix() -> None:
    """Lead whoever opens Flower's port itself to its pages, in place of a 404."""
    served["default_handler_class"] = RedirectHandler
    served["default_handler_args"] = {"url": f"/{PREFIX}/", "permanent": False}
