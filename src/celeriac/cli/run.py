"""`celeriac submit` and `celeriac run ...`: make a run, look at it, cancel it, make it again.

What these need takes a second to import, so each command imports it when it is called.
"""

from typing import Annotated

import typer

from celeriac.cli import options
from celeriac.cli.place import place, servers

app = typer.Typer(help="Look at a run, cancel it, or submit it again.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="The run's identifier.", metavar="ID")]
USAGE = """Usage: celeriac submit NAME [--option value ...] [--wait] [--json]

`celeriac tasks` lists the names, `celeriac submit NAME --help` the options of one."""

RESUBMIT_USAGE = """Usage: celeriac run resubmit ID [--option value ...] [--wait] [--json]

Submits a new run with the same input. An option of the task (`celeriac submit NAME --help`)
gives one argument anew; queue, priority and tags are those of the run unless given."""


def submit(context: typer.Context) -> None:
    """Submit a run; `celeriac submit NAME --help` lists the options of a task."""
    if not context.args or context.args[0].startswith("-"):
        print(USAGE)
        raise typer.Exit(0 if context.args[:1] in (["--help"], ["-h"]) else 2)
    from celeriac.cli.submit import submit_named

    submit_named(context.args[0], context.args[1:])


@app.command("show")
def show_run(
    run_id: RunId,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; exit with 1 unless it succeeded.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show a run: its state, arguments, progress, and result or error."""
    from celeriac.cli import show

    where = place()
    run = where.get(run_id)
    if wait:
        show.awaited(where, run, as_json=as_json)
    else:
        show.run(run, as_json=as_json)


@app.command("tail")
def tail_run(run_id: RunId, as_json: options.AsJson = False) -> None:
    """Print what a run logs and what happens to it, from its beginning until it ends."""
    from celeriac.cli.tail_one import tail
    from celeriac.runs import Runs

    tail(Runs.of(servers()), run_id, as_json=as_json)


@app.command("cancel")
def cancel_run(
    run_id: RunId,
    foreign: Annotated[
        bool,
        typer.Option(
            "--foreign", help="Another Celery client has submitted it; it may be unknown as yet."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Cancel a run: it is dropped if it waits and ended if it executes."""
    from celeriac.runs import json_of

    run = place().cancel(run_id, foreign=foreign)
    print(json_of(run) if as_json else f"Asked the workers to cancel {run_id}.")


@app.command(
    "resubmit",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def resubmit_run(context: typer.Context) -> None:
    """Submit a new run with the same input, or with what the task's options give anew."""
    if not context.args or context.args[0].startswith("-"):
        print(RESUBMIT_USAGE)
        raise typer.Exit(0 if context.args[:1] in (["--help"], ["-h"]) else 2)
    from celeriac.cli.submit import resubmit

    resubmit(context.args[0], context.args[1:])
