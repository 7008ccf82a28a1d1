"""The command `celeriac`."""

import os
import signal
import sys
from typing import Annotated

import typer

import celeriac
from celeriac.cli.inventory import Commands
from celeriac.cli.plain import harmless
from celeriac.cli.run_filters import FLAGS
from celeriac.cli.trail import finish
from celeriac.cli.typed_url import BY_HTTP, typed_url
from celeriac.errors import (
    CeleriacError,
    ConfigurationError,
    InvalidInputError,
    InvalidKeyError,
    UnknownTaskError,
)
from celeriac.masking import mask_outputs

WRONG_USE = 2
FAILED = 1
_WRONG_USE_ERRORS = (ConfigurationError, InvalidInputError, InvalidKeyError, UnknownTaskError)

app = typer.Typer(
    cls=Commands,
    help="A typed HTTP API, a live UI and runs that are never lost, on plain Celery tasks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"celeriac {celeriac.__version__}")
        raise typer.Exit(0)


Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
]


@app.callback()
def _celeriac(
    context: typer.Context,
    version: Version = False,
    url: Annotated[
        str | None,
        typer.Option(help="A web that `submit`, `run`, `runs list` ... ask (CELERIAC_URL)."),
    ] = None,
) -> None:
    """Give options to the command itself."""
    if url is not None and context.invoked_subcommand not in BY_HTTP:
        words = f"`celeriac {context.invoked_subcommand}` asks no web; it works where servers are."
        raise typer.BadParameter(words, param_hint="--url")
    typed_url.set(url)


def main() -> None:
    """Run a command; an error of ours becomes one line and an exit code."""
    mask_outputs()
    if os.getpid() == 1:
        # A container's first process hears no signal that it does not ask for.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except CeleriacError as error:
        for line in _lines(error):
            print(harmless(line), file=sys.stderr)
        sys.exit(WRONG_USE if isinstance(error, _WRONG_USE_ERRORS) else FAILED)
    finally:
        finish()


def _lines(error: CeleriacError) -> list[str]:
    if isinstance(error, InvalidInputError):
        return [f"celeriac: {_place(p.pointer)}: {p.detail}" for p in error.problems]
    if isinstance(error, UnknownTaskError) and not error.near:
        return [f"celeriac: {error} `celeriac tasks` lists them."]
    return [f"celeriac: {error}"]


def _place(pointer: str) -> str:
    """Name an option as it is typed; what stands inside of a task's arguments has only a place."""
    return FLAGS.get(pointer, pointer) or "input"
