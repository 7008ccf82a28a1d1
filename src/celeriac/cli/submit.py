"""`celeriac submit NAME --option value`: one option for each parameter of the task."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from celeriac.catalog import TaskSpec
from celeriac.cli import show
from celeriac.cli.parameters import Parameter, parameters_of, read_arguments
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import load_settings

_OPTIONS: dict[str, tuple[type, str]] = {
    "queue": (str, "Queue to send it to."),
    "priority": (int, "0 to 9; higher goes first."),
    "countdown": (float, "Start not before this many seconds from now."),
    "eta": (str, "Start not before this instant, such as 2030-01-31T09:00:00Z."),
    "expires": (float, "Do not start after this many seconds from now."),
}
_FLAGS = {
    "wait": "Wait for the end and print the result; the exit code tells how it went.",
    "json": "Print the run as JSON.",
}
TAKEN = tuple(f"--{name}" for name in (*_OPTIONS, *_FLAGS, "help"))
"""The command's own options; a task's argument of the same name gets the prefix `--arg-`."""


def submit_named(name: str, words: Sequence[str]) -> None:
    """Read the words of a command line as one task's arguments and submit a run."""
    runs = Runs.of(load_settings())
    command = command_of(runs, runs.catalog.get(name))
    command(args=list(words), prog_name=f"celeriac submit {name}")


def command_of(runs: Runs, spec: TaskSpec) -> typer.Typer:
    """Make the command that submits runs of one task."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    words = escape(f"{spec.summary}\n\n{spec.description}")
    command.command(help=words)(_function(runs, spec))
    return command


def _function(runs: Runs, spec: TaskSpec) -> Callable[..., None]:
    """Make a function whose signature has the task's parameters and the options of a run."""
    parameters = parameters_of(spec.schema, TAKEN)

    def submit_task(**typed: Any) -> None:
        args = read_arguments(parameters, typed)
        options = {name: typed[name] for name in _OPTIONS if typed[name] is not None}
        run = runs.submit(spec.name, args, SubmitOptions.of(options))
        show.submitted(runs, run, wait=typed["wait"], as_json=typed["json"])

    signature = _signature(parameters)
    submit_task.__signature__ = signature  # type: ignore[attr-defined]
    submit_task.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
    return submit_task


def _signature(parameters: list[Parameter]) -> inspect.Signature:
    options = [
        _keyword(name, kind | None, typer.Option(help=text, rich_help_panel="Run"), None)
        for name, (kind, text) in _OPTIONS.items()
    ]
    flags = [
        _keyword(name, bool, typer.Option(f"--{name}", help=text, rich_help_panel="Run"), False)
        for name, text in _FLAGS.items()
    ]
    return inspect.Signature([*(p.signature for p in parameters), *options, *flags])


def _keyword(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )
