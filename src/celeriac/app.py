"""The Celery app: Celeriac's own, or the one that a team already has."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from celery import Celery, states
from celery.app.utils import find_app
from celery.signals import task_prerun

from celeriac.backend import RunBackend, is_ignored
from celeriac.celeryconfig import CeleryConfig, celery_config
from celeriac.errors import ConfigurationError
from celeriac.settings import Settings, drop_celery_variables

# A team's app keeps these of its own, even where they are Celery's defaults.
_TEAMS_OWN = {
    "timezone": "timezone",
    "task_default_queue": "queue",
    # Another declaration of queues that exist already would be refused by the broker.
    "task_queue_max_priority": None,
    "task_default_priority": None,
}
logger = logging.getLogger(__name__)

_DEADLINES = ("read_timeout", "write_timeout", "socket_timeout", "confirm_publish")


def create_app(settings: Settings, *, publisher: bool = False) -> Celery:
    """Build the Celery app with every task registered, and make it the default one.

    Raises:
        ConfigurationError: an address is missing, or a module or app cannot be imported.
    """
    for variable in drop_celery_variables():
        logger.info("The environment variable %s is ignored.", variable)
    config = celery_config(settings, publisher=publisher)
    app = _team_app(settings.app) if settings.app else Celery("celeriac")
    _configure(app, config, settings)
    app.set_default()
    for name in settings.task_modules:
        with _importing(f"The module {name!r}"):
            importlib.import_module(name)
    with _importing("A module that the Celery app includes"):
        app.loader.import_default_modules()
        app.finalize()
    task_prerun.connect(_tell_of_ignored)
    return app


def _configure(app: Celery, config: CeleryConfig, settings: Settings) -> None:
    """Put our values beneath those that the app sets itself, except where we must agree."""
    values = asdict(config)
    app.conf.update({name: values.pop(name) for name in ("broker_url", "result_backend")})
    # Eager tasks would execute in the web process, and their runs would never be seen.
    app.conf.task_always_eager = False
    app.conf.broker_transport_options = _merged(
        values.pop("broker_transport_options"), app.conf.broker_transport_options
    )
    if settings.app:
        for name, setting in _TEAMS_OWN.items():
            if setting not in settings.model_fields_set:
                del values[name]
    app.add_defaults(lambda: values)


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Let a team's options win, except those that keep a submission from hanging."""
    deadlines = {name: ours[name] for name in _DEADLINES if name in ours}
    return {**ours, **(theirs or {}), **deadlines}


def _team_app(address: str) -> Celery:
    """Find an app as the `celery` command does: `module`, `package` or `module:attribute`."""
    with _importing(f"CELERIAC_APP={address}"):
        importlib.import_module(address.partition(":")[0])
    try:
        found = find_app(address)
    except (AttributeError, ImportError):
        found = None
    if not isinstance(found, Celery):
        raise ConfigurationError(
            f"CELERIAC_APP={address} names no Celery app. Give it as module:attribute."
        )
    return found


@contextmanager
def _importing(what: str) -> Iterator[None]:
    """Import with the current folder on the path, and turn a failure into one line."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"{what} cannot be imported: {reason}") from error


def _tell_of_ignored(task_id: str, task: Any, **_: Any) -> None:
    """Tell that a run has started which Celery does not track, since its result is ignored."""
    if is_ignored(task.request) and isinstance(task.backend, RunBackend):
        task.backend.tell(task_id, states.STARTED, task.request)
