"""The flower role: Flower on the same Celery app as the workers."""

from collections.abc import Sequence

from celeriac.app import create_app
from celeriac.settings import Settings


def run_flower(settings: Settings, options: Sequence[str] = ()) -> None:
    """Serve Flower until it is told to stop; `options` are Flower's own and win.

    Raises:
        ConfigurationError: an address is missing, or a module of tasks cannot be imported.
    """
    app = create_app(settings)
    ours = [
        f"--address={settings.host}",
        f"--port={settings.flower_port}",
        f"--logging={'debug' if settings.log_level == 'DEBUG' else 'warning'}",
    ]
    app.start(["flower", *ours, *options])
