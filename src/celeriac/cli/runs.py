"""`celeriac submit` and `celeriac run ...`: make a run, look at it, cancel it.

What these need takes a second to import, so each command imports it when it is called.
"""

from typing import Annotated

import typer

from celeriac.cli import options
from celeriac.settings import load_settings

app = typer.Typer(help="Look at a run, or cancel it.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="The run's identifier.", metavar="ID")]
USAGE = """Usage: celeriac submit NAME [--option value ...] [--wait] [--json]

`celeriac tasks` lists the names, `celeriac submit NAME --help` the options of one."""


def submit(context: typer.Context) -> None:
    """Submit a run; `celeriac submit NAME --help` lists the options of a task."""
    if not context.args or context.args[0].startswith("-"):
        print(USAGE)
        raise typer.Exit(0 if context.args[:1] in (["--help"], ["-h"]) else 2)
    from celeriac.cli.submit import submit_named

    submit_named(context.args[0], context.args[1:])


@app.command("show")
def show_run(run_id: RunId, as_json: options.AsJson = False) -> None:
    """Show a run: its state, arguments, progress, and result or error."""
    from celeriac.cli import show
    from celeriac.runs import Runs

    show.run(Runs.of(load_settings()).get(run_id), as_json=as_json)


@app.command("cancel")
def cancel_run(run_id: RunId) -> None:
    """Cancel a run: it is dropped if it waits and ended if it executes."""
    from celeriac.runs import Runs

    Runs.of(load_settings()).cancel(run_id)
    print(f"Asked the workers to cancel {run_id}.")
