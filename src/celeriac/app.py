"""The Celery app: Celeriac's own, or the one that a team already has."""

import importlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from celery import Celery

from celeriac.celeryconfig import CeleryConfig, celery_config
from celeriac.errors import ConfigurationError
from celeriac.settings import Settings

# A team's app keeps these of its own, even where they are Celery's defaults.
_TEAMS_OWN = {"timezone": "timezone", "task_default_queue": "queue"}


def create_app(settings: Settings, *, publisher: bool = False) -> Celery:
    """Build the Celery app with every task registered, and make it the default one.

    Raises:
        ConfigurationError: an address is missing, or a module or app cannot be imported.
    """
    config = celery_config(settings, publisher=publisher)
    app = _find_app(settings.app) if settings.app else Celery("celeriac")
    _configure(app, config, settings)
    app.set_default()
    for name in settings.task_modules:
        _import(name)
    app.loader.import_default_modules()
    app.finalize()
    return app


def _configure(app: Celery, config: CeleryConfig, settings: Settings) -> None:
    """Put our values beneath those that the app sets itself, except the two addresses."""
    values = asdict(config)
    app.conf.update({name: values.pop(name) for name in ("broker_url", "result_backend")})
    if settings.app:
        for name, setting in _TEAMS_OWN.items():
            if setting not in settings.model_fields_set:
                del values[name]
    app.add_defaults(lambda: values)


def _find_app(address: str) -> Celery:
    module_name, _, attribute = address.partition(":")
    module = _import(module_name)
    names = [attribute] if attribute else ["app", "celery"]
    for name in names:
        found: Any = getattr(module, name, None)
        if isinstance(found, Celery):
            return found
    raise ConfigurationError(
        f"CELERIAC_APP={address}: {module_name} has no Celery app named {' or '.join(names)}. "
        "Give it as module:attribute."
    )


def _import(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigurationError(
            f"The module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
