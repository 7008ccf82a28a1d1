"""`celeriac runs` and `celeriac history ...`: the record of all runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import options
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.runs import RunFilter, Runs

app = typer.Typer(help="Export or prune the record of all runs.", no_args_is_help=True)

Tasks = Annotated[list[str] | None, typer.Option("--task", help="Any of these tasks; repeat it.")]
States = Annotated[list[str] | None, typer.Option("--state", help="Any of these; repeat it.")]
Queue = Annotated[str | None, typer.Option(help="Only this queue.")]
Since = Annotated[str | None, typer.Option(help="An instant, or an age such as 1h or 7d.")]
Until = Annotated[str | None, typer.Option(help="The same; excluded.")]
Text = Annotated[str | None, typer.Option("--text", help="In arguments, result or error.")]


def runs(
    task: Tasks = None,
    state: States = None,
    queue: Queue = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List runs, newest first."""
    from celeriac.cli import show

    wanted = _wanted(task, state, queue, since, until, text)
    show.run_list(_runs().find(wanted, limit=limit).runs, as_json=as_json)


@app.command("export")
def export(
    task: Tasks = None,
    state: States = None,
    queue: Queue = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
) -> None:
    """Print runs as NDJSON, one a line, newest first."""
    for line in _runs().export(_wanted(task, state, queue, since, until, text)):
        print(line, end="")


@app.command("prune")
def prune(
    days: Annotated[int, typer.Option(min=0, help="Remove runs older than this many days.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove old runs for good."""
    if not yes:
        typer.confirm(f"Remove every run older than {days} days for good?", abort=True)
    removed = 0
    for removed in _runs().prune(days):
        print(f"\r{removed} removed", end="", flush=True)
    print(f"\r{removed} removed")


def _runs() -> "Runs":
    from celeriac.runs import Runs

    return Runs.of(load_settings())


def _wanted(
    task: list[str] | None,
    state: list[str] | None,
    queue: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
) -> "RunFilter":
    from celeriac.runs import run_filter

    return run_filter(
        {
            "task": task or [],
            "state": [each.upper() for each in state or []],
            "queue": [queue or ""],
            "since": [since or ""],
            "until": [until or ""],
            "q": [text or ""],
        }
    )
