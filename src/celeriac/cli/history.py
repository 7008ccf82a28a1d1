"""`celeriac history ...`: export or prune the record of all runs."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import options
from celeriac.cli.asking import confirm
from celeriac.cli.place import servers
from celeriac.cli.run_filters import takes_filter
from celeriac.cli.trail import recorded

if TYPE_CHECKING:
    from celeriac.runs import RunFilter, RunHistory

app = typer.Typer(help="Export or prune the record of all runs.", no_args_is_help=True)


@app.command("export")
@takes_filter
def export(wanted: "RunFilter") -> None:
    """Print runs as NDJSON, one a line, newest first."""
    for line in _history().export(wanted):
        print(line, end="")


@app.command("prune")
def prune(
    days: Annotated[
        int | None, typer.Option(min=0, help="Remove runs older than this many days.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Remove all but the newest runs, so many.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove old runs for good; those that have not ended stay, whatever their number."""
    if days is None and keep is None:
        raise typer.BadParameter("Say what to remove: --days, --keep or both.")
    if not yes:
        confirm(f"Remove every run {_words(days, keep)} for good?", err=as_json)
    removed = 0
    with recorded(servers(), "history.prune", days=days, keep=keep) as deed:
        for removed in _history().prune(days, keep):
            deed.detail["removed"] = removed
            if sys.stdout.isatty() and not as_json:
                print(f"\r{removed} removed", end="", flush=True)
    _tell(removed, as_json=as_json)


def _tell(removed: int, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"removed": removed}))
    else:
        print(f"\r{removed} removed" if sys.stdout.isatty() else f"{removed} removed")


def _words(days: int | None, keep: int | None) -> str:
    old = [] if days is None else [f"older than {days} days"]
    many = [] if keep is None else [f"but the newest {keep:,}"]
    return " and every one ".join(old + many)


def _history() -> "RunHistory":
    from celeriac.runs import RunHistory

    return RunHistory.of(servers())
