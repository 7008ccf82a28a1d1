"""Every command: where it is, and what it does in a line.

A command is imported when it is called: some need most of a second for what they import, and who
asks for help, or only mistypes, need not wait for any of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

_PASS_ON: Mapping[str, Any] = MappingProxyType(
    {"context_settings": {"allow_extra_args": True, "ignore_unknown_options": True}}
)


@dataclass(frozen=True)
class Command:
    """A function or a group of commands, named as an entry point is: `module:attribute`."""

    home: str
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)


COMMANDS = {
    "up": Command(
        "roles:up",
        "Start everything: web, workers and Flower, on an embedded Valkey unless told otherwise.",
    ),
    "web": Command("roles:web", "Serve the UI and the HTTP API."),
    "worker": Command(
        "roles:worker",
        "Run a Celery worker; further options are Celery's own, such as `--pool solo`.",
        _PASS_ON,
    ),
    "flower": Command(
        "roles:flower",
        "Serve Flower for the web; further options are Flower's own, such as `--read_only`.",
        _PASS_ON,
    ),
    "recorder": Command("roles:recorder", "Keep the history: record what happens to runs."),
    "tasks": Command("catalog:tasks", "List the tasks that can be submitted."),
    "submit": Command(
        "run:submit",
        "Submit a run; `celeriac submit NAME --help` lists the options of a task.",
        {**_PASS_ON, "add_help_option": False},
    ),
    "batch": Command("batch:batch", "Submit a run for each line of FILE."),
    "run": Command("run:app", "Look at a run, cancel it, or submit it again."),
    "runs": Command("runs:app", "List, follow, cancel or resubmit runs."),
    "history": Command("history:app", "Export or prune the record of all runs."),
    "backup": Command(
        "backup:backup",
        "Save results, history, users and definitions of queues into FILE, while everything runs.",
    ),
    "restore": Command(
        "backup:restore",
        "Put back what FILE holds, where nothing is yet; start the roles afterwards.",
    ),
    "queues": Command("queues:app", "Look at queues, pause, resume or purge one."),
    "workers": Command("workers:app", "Look at workers, resize or end one."),
    "dead-letters": Command("dead_letters:app", "Look at dead letters, replay or discard them."),
    "login": Command("login:login", "Log in to a web, so that commands work with it from here."),
    "logout": Command("login:logout", "End the login: its token opens nothing any more."),
    "whoami": Command("login:whoami", "Tell who one is where one is logged in."),
    "users": Command("users:app", "Add users, and say what each may do."),
    "tokens": Command("tokens:app", "Make tokens for programs, and revoke them."),
    "audit": Command("audit:app", "Read who did what, when and from where."),
    "stats": Command(
        "stats:stats", "Count runs and how they ended, with their times of running and waiting."
    ),
    "top": Command(
        "top:top",
        "Watch queues, workers, runs and failures; `q` leaves, `+` and `-` change the range.",
    ),
    "doctor": Command(
        "doctor:doctor",
        "Check each dependency and setting; the exit code is 1 when something is wrong.",
    ),
    "health": Command(
        "health:health",
        "Tell whether a role of this host does its work; the exit code is 1 when it does not.",
    ),
}


class Commands(TyperGroup):
    """The commands by what the inventory says of them; the one that is called, as it is."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, command in COMMANDS.items():
            self.add_command(TyperCommand(name, help=command.help))

    def resolve_command(
        self, ctx: Any, args: list[str]
    ) -> tuple[str | None, Any | None, list[str]]:
        name, known, rest = super().resolve_command(ctx, args)
        return name, known and load(known.name or ""), rest


def load(name: str) -> Any:
    """Import a command."""
    command = COMMANDS[name]
    module, attribute = command.home.split(":")
    found = getattr(import_module(f"celeriac.cli.{module}"), attribute)
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, help=command.help)
    else:
        alone.command(name, **command.settings)(found)
    return get_group(alone).commands[name]
