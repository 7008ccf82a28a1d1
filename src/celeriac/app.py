"""The Celery app: Celeriac's own, or the one that a team already has."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.utils import find_app

from celeriac.amqp_transport import use_lean_transport
from celeriac.celeryconfig import CeleryConfig, celery_config
from celeriac.clock import tell_shared_time
from celeriac.delays import delay_ours
from celeriac.errors import ConfigurationError
from celeriac.events import Event
from celeriac.fleet import STEPS
from celeriac.log_capture import capture_logs
from celeriac.pools import use_finishing_pools
from celeriac.publishing import tell_of_publishing
from celeriac.queues import declare_ours
from celeriac.redis_transport import use_safe_transport
from celeriac.settings import Settings, drop_celery_variables
from celeriac.signatures import sign_messages
from celeriac.starting import guard_starts

# Another value of these would not be what our settings say.
_OURS = (
    "broker_url",
    "result_backend",
    "celeriac_redact",
    "celeriac_max_value_bytes",
    "celeriac_stop_grace_s",
)
# A team's app keeps these of its own, even where they are Celery's defaults.
_TEAMS_OWN = {
    "timezone": "timezone",
    "task_default_queue": "queue",
    "task_default_priority": None,
}
_WHERE_FROM = (
    ". Call celeriac from the folder that has the module, or name that folder in PYTHONPATH; which "
    "modules it looks for is set by CELERIAC_APP and CELERIAC_TASKS."
)
logger = logging.getLogger(__name__)

_DEADLINES = ("read_timeout", "write_timeout", "socket_timeout", "confirm_publish")


def create_app(settings: Settings, *, publisher: bool = False) -> Celery:
    """Build the Celery app with every task registered, and make it the default one.

    Raises:
        ConfigurationError: an address is missing, or a module or app cannot be imported.
    """
    for variable in drop_celery_variables():
        logger.info("The environment variable %s is ignored.", variable)
    use_safe_transport()
    use_lean_transport()
    use_finishing_pools()
    config = celery_config(settings, publisher=publisher)
    app = _team_app(settings.app) if settings.app else Celery("celeriac")
    _configure(app, config, settings)
    for blueprint, step in STEPS:
        app.steps[blueprint].add(step)
    app.steps["worker"].add("celeriac.stopping:Stopping")
    if settings.message_keys:
        _sign(app, config, settings.message_keys.get_secret_value())
    # Another declaration of queues that a team's app has made would be refused by the broker.
    if config.broker_url.startswith("amqp") and not settings.app:
        declare_ours(app, settings.queue)
        delay_ours(app)
    app.set_default()
    for name in settings.task_modules:
        with _importing(f"The module {name!r}"):
            importlib.import_module(name)
    with _importing("A module that the Celery app includes"):
        app.loader.import_default_modules()
        app.finalize()
    if not publisher:
        guard_starts(app)
        tell_shared_time(app)
        tell_of_publishing(app)
        if settings.log_lines:
            _capture_logs(app, settings.log_lines)
    return app


def _sign(app: Celery, config: CeleryConfig, keys: str) -> None:
    if app.conf.worker_consumer != config.worker_consumer:
        raise ConfigurationError(
            f"The Celery app sets worker_consumer={app.conf.worker_consumer!r}, which checks no "
            "signatures. Remove that, or unset CELERIAC_MESSAGE_KEYS."
        )
    sign_messages(app, keys)


def _capture_logs(app: Celery, most_lines: int) -> None:
    """Have lines written by the app's backend, which is made only when something is logged."""

    def write(lines: Sequence[Event]) -> None:
        app.backend.add_lines(lines)

    def has_room() -> bool:
        return bool(app.backend.has_room_for_lines())

    capture_logs(app, write, has_room, most_lines)


def _configure(app: Celery, config: CeleryConfig, settings: Settings) -> None:
    """Put our values beneath those that the app sets itself, except where we must agree."""
    values = asdict(config)
    app.conf.update({name: values.pop(name) for name in _OURS})
    # Eager tasks would execute in the web process, and their runs would never be seen.
    app.conf.task_always_eager = False
    app.conf.celeriac_delivery_limit = settings.delivery_limit
    app.conf.celeriac_stall_timeout_s = settings.stall_timeout_s
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
        hint = _WHERE_FROM if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigurationError(f"{what} cannot be imported: {reason}{hint}") from error
