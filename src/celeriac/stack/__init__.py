"""`celeriac up`: every role on this machine under one supervisor, with nothing prepared.

The parts, in the order in which `up` uses them:

- `preflight`, `folder`: what must hold before anything starts; what is kept between starts.
- `valkey`: the embedded server, where no broker or no Redis is given.
- `commands`: what the roles are, as commands; `probes`: when they count as ready.
- `supervisor`: the order of starting and stopping; `role`: keeps one command running;
  `process`: one started process with its group; `output`: its lines.
- `warden`: ends the roles when the supervisor itself is killed.
- `console`, `addresses`: what people see.
"""

import asyncio
import time

from pydantic import SecretStr

from celeriac.exposure import require_closed
from celeriac.setting_secrets import know_settings
from celeriac.settings import Settings
from celeriac.stack.commands import CommandsOf, as_environment, role_commands
from celeriac.stack.console import Announce, Console, print_line
from celeriac.stack.folder import FLOWER_PASSWORD, SECRET_KEY, DataFolder, for_flower
from celeriac.stack.preflight import check_ports, check_tasks
from celeriac.stack.role import Pace
from celeriac.stack.supervisor import Supervisor
from celeriac.stack.valkey import EmbeddedValkey

__all__ = ["Pace", "up"]


def up(
    settings: Settings,
    announce: Announce = print_line,
    commands_of: CommandsOf = role_commands,
    pace: Pace = Pace(),  # noqa: B008 (frozen)
) -> int:
    """Start all roles, keep them running until a signal asks to stop, and give the exit code 0.

    Each line that people should see goes to `announce`. `settings` must not come from the
    `stack.env` of another start (`load_settings(join_stack=False)`).

    Raises:
        ConfigurationError: something must be changed before a start can succeed; whatever had
            started is stopped.
    """
    started_s = time.monotonic()
    require_closed(settings)
    with DataFolder(settings.data_dir) as folder:
        check_ports(settings)
        valkey = EmbeddedValkey.prepare(folder) if _needs_valkey(settings) else None
        complete = _complete(settings, folder, valkey)
        know_settings(complete)
        check_tasks(complete, as_environment(complete))
        commands = commands_of(complete)
        console = Console(
            announce,
            names=[command.name for command in commands],
            started_s=started_s,
        )
        return asyncio.run(Supervisor(complete, folder, valkey, commands, console, pace).run())


def _needs_valkey(settings: Settings) -> bool:
    return settings.broker_url is None or settings.redis_url is None


def _complete(settings: Settings, folder: DataFolder, valkey: EmbeddedValkey | None) -> Settings:
    """Fill in what the data directory and the embedded server provide."""
    found = {
        "data_dir": folder.path,
        "secret_key": settings.secret_key or folder.secret(SECRET_KEY),
        "flower_basic_auth": settings.flower_basic_auth or _made_for_flower(folder),
    }
    if valkey is not None:
        found["broker_url"] = settings.broker_url or valkey.broker_url
        found["redis_url"] = settings.redis_url or valkey.redis_url
    return settings.model_copy(update=found)


def _made_for_flower(folder: DataFolder) -> SecretStr:
    return SecretStr(for_flower(folder.secret(FLOWER_PASSWORD).get_secret_value()))
