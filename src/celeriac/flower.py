"""The flower role: Flower on the same Celery app as the workers."""

from collections.abc import Sequence

from celeriac.app import create_app
from celeriac.errors import ConfigurationError
from celeriac.exposure import is_on_loopback
from celeriac.settings import Settings

AUTHENTICATION = ("--basic_auth=", "--basic-auth=", "--auth=", "--auth_provider=")
"""Flower's own options. Source: Flower 2.2, "Configuration"."""


def run_flower(settings: Settings, options: Sequence[str] = ()) -> None:
    """Serve Flower until it is told to stop; `options` are Flower's own and win.

    Raises:
        ConfigurationError: an address is missing, a module of tasks cannot be imported, or
            strangers could use it.
    """
    if not (is_on_loopback(settings) or any(each.startswith(AUTHENTICATION) for each in options)):
        raise ConfigurationError(
            f"CELERIAC_HOST is {settings.host}, and Flower asks nobody who they are. Add "
            "--basic_auth=USER:PASSWORD or another authentication of its own, or listen on "
            "127.0.0.1."
        )
    app = create_app(settings)
    ours = [
        f"--address={settings.host}",
        f"--port={settings.flower_port}",
        f"--logging={'debug' if settings.log_level == 'DEBUG' else 'warning'}",
    ]
    app.start(["flower", *ours, *options])
