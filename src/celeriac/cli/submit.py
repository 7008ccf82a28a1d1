"""`celeriac submit NAME --option value`: one option for each parameter of the task.

`celeriac run resubmit ID` takes the same options, all of which it can do without.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from pydantic import JsonValue
from rich.markup import escape

from celeriac.cli import show
from celeriac.cli.parameters import Parameter, parameters_of, read_arguments
from celeriac.cli.place import Here, Place, Task, place, servers
from celeriac.cli.trail import recorded
from celeriac.runs import Outcome, Runs, SubmitOptions, known_arguments

_OPTIONS: dict[str, tuple[Any, str]] = {
    "queue": (str, "Queue to send it to."),
    "priority": (int, "0 to 9; higher goes first."),
    "countdown": (float, "Start not before this many seconds from now."),
    "eta": (str, "Start not before this instant, such as 2030-01-31T09:00:00Z."),
    "expires": (float, "Do not start after this many seconds from now."),
    "tag": (list[str], "A word to find the run by; repeat it."),
}
KEY, KEY_FLAG = "idempotency_key", "--idempotency-key"
_KEY_HELP = "Submit at most once for this key, such as a UUID, however often it is asked for."
_FLAGS = {
    "wait": "Wait for the end and print the result; the exit code tells how it went.",
    "json": "Print the run as JSON.",
}
_SEVERAL = {"tag": "tags"}
"""What the API calls the values of an option that may be repeated."""
TAKEN = (*(f"--{name}" for name in (*_OPTIONS, *_FLAGS, "help")), KEY_FLAG)
"""The command's own options; a task's argument of the same name gets the prefix `--arg-`."""


Submit = Callable[[dict[str, JsonValue], SubmitOptions, str | None], Outcome]


def submit_named(name: str, words: Sequence[str]) -> None:
    """Read the words of a command line as one task's arguments and submit a run."""
    where = place()
    command = command_of(where, where.task(name))
    command(args=list(words), prog_name=f"celeriac submit {name}")


def resubmit(run_id: str, words: Sequence[str]) -> None:
    """Read the words of a command line as changes to a run's input and submit it again."""
    settings = servers()
    runs, where = Runs.of(settings), Here(settings)
    earlier = runs.get(run_id)
    spec = runs.catalog.get(earlier.task or "")

    def submit_again(
        args: dict[str, JsonValue], options: SubmitOptions, key: str | None
    ) -> Outcome:
        edited = {**known_arguments(earlier, spec), **args} if args else None
        with recorded(settings, "run.resubmit", run_id, run_id=run_id) as deed:
            if key is None:
                outcome = Outcome(runs.resubmit(run_id, edited, options))
            else:
                outcome = runs.once.resubmit(key, run_id, edited, options)
            deed.target = outcome.run.id
        return outcome

    optional = [replace(each, required=False) for each in parameters_of(spec.schema, TAKEN)]
    command = _command(where, spec, optional, submit_again)
    command(args=list(words), prog_name=f"celeriac run resubmit {run_id}")


def command_of(where: Place, spec: Task) -> typer.Typer:
    """Make the command that submits runs of one task."""

    def submit(args: dict[str, JsonValue], options: SubmitOptions, key: str | None) -> Outcome:
        return where.submit(spec.name, args, options, key)

    return _command(where, spec, parameters_of(spec.schema, TAKEN), submit)


def _command(where: Place, spec: Task, parameters: list[Parameter], submit: Submit) -> typer.Typer:
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    parts = filter(None, [spec.warning, spec.summary, spec.description])
    function = _function(where, parameters, submit, spec.warning)
    command.command(help=escape("\n\n".join(parts)))(function)
    return command


def _function(
    where: Place, parameters: list[Parameter], submit: Submit, warning: str | None
) -> Callable[..., None]:
    """Make a function whose signature has the task's parameters and the options of a run."""

    def submit_task(**typed: Any) -> None:
        args, options = read_arguments(parameters, typed), _options(typed)
        outcome = submit(args, options, typed[KEY])
        if warning:
            print(f"warning: {warning}", file=sys.stderr)
        if outcome.is_replay:
            print("This key was used before; this is the run it made then.", file=sys.stderr)
        show.submitted(where, outcome.run, wait=typed["wait"], as_json=typed["json"])

    signature = _signature(parameters)
    submit_task.__signature__ = signature  # type: ignore[attr-defined]
    submit_task.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
    return submit_task


def _options(typed: dict[str, Any]) -> SubmitOptions:
    given = {name: typed[name] for name in _OPTIONS if typed[name] not in (None, [])}
    return SubmitOptions.of({_SEVERAL.get(name, name): value for name, value in given.items()})


def _signature(parameters: list[Parameter]) -> inspect.Signature:
    options = [
        _keyword(name, kind | None, typer.Option(help=text, rich_help_panel="Run"), None)
        for name, (kind, text) in _OPTIONS.items()
    ]
    flags = [
        _keyword(name, bool, typer.Option(f"--{name}", help=text, rich_help_panel="Run"), False)
        for name, text in _FLAGS.items()
    ]
    about_key = typer.Option(KEY_FLAG, help=_KEY_HELP, rich_help_panel="Run")
    key = _keyword(KEY, str | None, about_key, None)
    return inspect.Signature([*(p.signature for p in parameters), *options, key, *flags])


def _keyword(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )
