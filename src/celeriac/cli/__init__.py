"""The command `celeriac`."""

import sys

import typer

from celeriac.cli import catalog, doctor, history, roles, runs
from celeriac.errors import (
    CeleriacError,
    ConfigurationError,
    InvalidInputError,
    UnknownTaskError,
)

WRONG_USE = 2
FAILED = 1
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    help="A typed HTTP API, a live UI and runs that are never lost, on plain Celery tasks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(roles.up)
app.command()(roles.web)
app.command(context_settings=_PASS_ON)(roles.worker)
app.command(context_settings=_PASS_ON)(roles.flower)
app.command()(roles.recorder)
app.command()(catalog.tasks)
app.command(context_settings=_PASS_ON, add_help_option=False)(runs.submit)
app.add_typer(runs.app, name="run")
app.command()(history.runs)
app.add_typer(history.app, name="history")
app.command()(doctor.doctor)


def main() -> None:
    """Run a command; an error of ours becomes one line and an exit code."""
    try:
        app()
    except CeleriacError as error:
        for line in _lines(error):
            print(line, file=sys.stderr)
        wrong_use = isinstance(error, (ConfigurationError, InvalidInputError, UnknownTaskError))
        sys.exit(WRONG_USE if wrong_use else FAILED)


def _lines(error: CeleriacError) -> list[str]:
    if isinstance(error, InvalidInputError):
        return [f"celeriac: {p.pointer or 'input'}: {p.detail}" for p in error.problems]
    return [f"celeriac: {error}"]
