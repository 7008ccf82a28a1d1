"""`celeriac up` without Flower and without patience: what was killed is back at once."""

import sys

from celeriac.settings import Settings, load_settings
from celeriac.stack import up
from celeriac.stack.commands import Command, role_commands
from celeriac.stack.role import Pace


def commands(settings: Settings) -> list[Command]:
    """Give the roles that runs go through."""
    return [command for command in role_commands(settings) if command.name != "flower"]


if __name__ == "__main__":
    pace = Pace(first_backoff_s=0.2, longest_backoff_s=0.5, stable_s=5)
    sys.exit(up(load_settings(join_stack=False), commands_of=commands, pace=pace))
