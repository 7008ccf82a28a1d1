"""`celeriac runs ...`: many runs at once, by filter."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.cli import options
from celeriac.cli.place import place, servers
from celeriac.cli.run_filters import takes_filter
from celeriac.cli.trail import recorded

if TYPE_CHECKING:
    from celeriac.runs import RunFilter, Runs

app = typer.Typer(help="List, follow, cancel or resubmit runs.", no_args_is_help=True)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the runs.")]
Every = Annotated[bool, typer.Option("--all", help="Every run is meant: no other option needed.")]
MOST_A_PAGE = 200
USUAL_PAGE = 20


@app.command("list")
@takes_filter
def list_runs(
    wanted: "RunFilter",
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST_A_PAGE, help=f"Runs on a page; {USUAL_PAGE}.")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(help="Where the page before ended.", callback=options.filled)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All pages, one after the other.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List runs, newest first, a page or all of them; `--json --all` prints one run a line."""
    from celeriac.cli import show

    if every and limit is not None:
        raise typer.BadParameter("Give either --all or --limit, not both.")
    history = place()
    if every and as_json:
        for line in history.export(wanted):
            print(line, end="")
        return
    found = history.find(wanted, cursor, MOST_A_PAGE if every else limit or USUAL_PAGE)
    show.run_list(found.runs, as_json=as_json)
    while every and found.next_cursor:
        found = history.find(wanted, found.next_cursor, MOST_A_PAGE)
        show.run_list(found.runs, as_json=False, with_head=False)
    if found.next_cursor:
        typer.echo(f"There are more: add --cursor {found.next_cursor}", err=True)


@app.command("cancel")
@takes_filter
def cancel_runs(
    wanted: "RunFilter",
    yes: Yes = False,
    every: Every = False,
    dry_run: DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Cancel all runs that match and have not ended."""
    from celeriac.cli import bulk
    from celeriac.runs import words_of

    bulk.check_meant(wanted, every=every)
    actions = _runs().bulk
    found = actions.count_to_cancel(wanted, every=every)
    bulk.confirm("Cancel", found, yes=yes, dry_run=dry_run, as_json=as_json)
    with recorded(servers(), "runs.cancel", filter=words_of(wanted), all=every):
        bulk.follow(actions.cancel(wanted, every=every), "Cancelled", as_json=as_json)


@app.command("resubmit")
@takes_filter
def resubmit_runs(
    wanted: "RunFilter",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most so many runs a second.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also runs that were submitted again before.")
    ] = False,
    yes: Yes = False,
    every: Every = False,
    dry_run: DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Submit all runs again that match, those that failed or were revoked unless --state says."""
    from celeriac.cli import bulk
    from celeriac.runs import words_of

    bulk.check_meant(wanted, every=every)
    actions = _runs().bulk
    found = actions.count_to_resubmit(wanted, every=every)
    bulk.confirm("Resubmit", found, yes=yes, dry_run=dry_run, as_json=as_json)
    meant: dict[str, Any] = {"filter": words_of(wanted), "all": every}
    with recorded(servers(), "runs.resubmit", **meant, rate=rate, again=again):
        bulk.follow(
            actions.resubmit(wanted, every=every, rate=rate, again=again),
            "Resubmitted",
            as_json=as_json,
            go_on=bulk.BEGIN_ANEW if again else bulk.GO_ON,
        )


@app.command("tail")
def tail_runs(
    task: Annotated[
        list[str] | None,
        typer.Option(help="Any of these tasks; repeat it.", callback=options.filled),
    ] = None,
    state: Annotated[list[str] | None, typer.Option(help="Any of these; repeat it.")] = None,
    queue: Annotated[
        str | None, typer.Option(help="Only this queue.", callback=options.filled)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Follow what happens to runs, one line each, until Ctrl-C; `--json` prints NDJSON."""
    from celeriac.cli import tail_all

    wanted = tail_all.Wanted.of(task or (), state or (), queue)
    tail_all.follow(_runs(), wanted, for_programs=as_json)


def _runs() -> "Runs":
    from celeriac.runs import Runs

    return Runs.of(servers())
