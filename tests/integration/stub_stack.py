"""`celeriac up` with stub roles, as a program; the supervisor and the Valkey server are real."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from celeriac.errors import ConfigurationError
from celeriac.settings import Settings, load_settings
from celeriac.stack import up
from celeriac.stack.commands import Command, role_commands
from celeriac.stack.role import Pace

ROLES = str(Path(__file__).with_name("stub_roles.py"))


def stub_commands(settings: Settings) -> list[Command]:
    """Take the real commands and replace only what they run."""
    return [
        replace(command, argv=(sys.executable, ROLES, command.argv[-1]))
        for command in role_commands(settings)
    ]


def main() -> int:
    """Translate errors as the command line does."""
    pace = Pace(
        grace_s=float(os.environ.get("STUB_GRACE_S", "10")),
        hurry_s=0.3,
        ready_s=float(os.environ.get("STUB_READY_S", "30")),
        first_backoff_s=0.05,
    )
    try:
        return up(load_settings(join_stack=False), commands_of=stub_commands, pace=pace)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
