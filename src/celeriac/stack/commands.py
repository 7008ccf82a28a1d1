"""What the roles are, as commands: the one place that says how `celeriac up` starts each."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from signal import SIGQUIT, Signals

from pydantic import SecretStr

from celeriac.exposure import flower_host
from celeriac.settings import Settings
from celeriac.stack.probes import HttpProbe, PortProbe, Probe


@dataclass(frozen=True)
class Command:
    """How one role starts, when it counts as ready, and how it is asked to hurry.

    `argv` never holds a secret, since every user of the machine can read it; `environment` may.
    It is ready when `probe` says so, and when a line of its output has contained `ready_text`.
    `hurry_signal` comes after the grace time and before SIGKILL. `explain_end`, where given, makes
    an end before the role was ever ready final, and gives the reason from its last line.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str = field(default="", repr=False)
    probe: Probe | None = None
    ready_text: str | None = None
    hurry_signal: Signals | None = None
    explain_end: Callable[[str], str] | None = None


ADDRESSES = {"host", "port", "flower_port"}

CommandsOf = Callable[[Settings], Sequence[Command]]


def role_commands(settings: Settings) -> list[Command]:
    """Give the roles of Celeriac for settings that name every address."""
    environment = as_environment(settings)
    web = Command(
        name="web",
        argv=_celeriac("web"),
        environment=environment,
        probe=HttpProbe(settings.host, settings.port, "/readyz"),
    )
    flower = Command(
        name="flower",
        argv=_celeriac("flower"),
        environment={**environment, "CELERIAC_HOST": flower_host(settings)},
        probe=PortProbe(flower_host(settings), settings.flower_port),
    )
    recorder = Command(
        name="recorder",
        argv=_celeriac("recorder"),
        environment=environment,
        ready_text="recorder is ready",
    )
    return [web, recorder, *(_worker(number, environment) for number in _numbers(settings)), flower]


def as_environment(settings: Settings) -> dict[str, str]:
    """Give the addresses, and each setting that somebody chose, as variables for the roles.

    A default is left out, since for an app of the user's own it means that the app decides.
    """
    prefix = settings.model_config.get("env_prefix", "")
    values = {
        name: getattr(settings, name) for name in sorted(settings.model_fields_set | ADDRESSES)
    }
    given = {
        f"{prefix}{name}".upper(): _as_text(value)
        for name, value in values.items()
        if value is not None
    }
    return {**given, "PYTHONUNBUFFERED": "1"}


def _worker(number: int, environment: Mapping[str, str]) -> Command:
    name = f"worker{number}"
    return Command(
        name=name,
        argv=_celeriac("worker"),
        environment={**environment, "CELERIAC_WORKER_NAME": name},
        ready_text="ready.",
        # Celery's cold shutdown: what still runs goes back to its queue instead of being lost
        # from sight until the broker's visibility timeout.
        hurry_signal=SIGQUIT,
    )


def _numbers(settings: Settings) -> range:
    return range(1, settings.workers + 1)


def _celeriac(verb: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celeriac", verb)


def _as_text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
