"""`celeriac audit ...`: who did what, when and from where."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from celeriac.cli import options
from celeriac.cli.plain import one_line, plain
from celeriac.cli.printer import printer
from celeriac.cli.shell import access_of
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.access import AuditFilter, Entry

app = typer.Typer(help="Read who did what, when and from where.", no_args_is_help=True)
Actor = Annotated[str | None, typer.Option(help="Who did it.", callback=options.filled)]
Action = Annotated[
    str | None,
    typer.Option(
        help="What was done: `run.cancel`, or `run` for all with runs.", callback=options.filled
    ),
]
Target = Annotated[
    str | None,
    typer.Option(help="A run, a queue, a user ... it was done to.", callback=options.filled),
]
Since = Annotated[
    str | None, typer.Option(help="An instant, or an age such as `1h`.", callback=options.filled)
]
Until = Annotated[str | None, typer.Option(help="The same; excluded.", callback=options.filled)]
Text = Annotated[str | None, typer.Option("--q", help="Text in any part.", callback=options.filled)]


@app.command("list")
def list_entries(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    q: Text = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: options.AsJson = False,
) -> None:
    """List what was done, newest first."""
    wanted = _wanted(actor, action, target, since, until, q)
    page = access_of(load_settings()).audit.find(wanted, limit=limit)
    if as_json:
        print(json.dumps([entry.as_json() for entry in page.entries]))
    elif page.entries:
        printer().print(_table(page.entries))
    else:
        print("Nothing of that kind was done, as far as the audit trail tells.")


@app.command("export")
def export_entries(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    q: Text = None,
) -> None:
    """Print what was done as NDJSON, one a line, newest first."""
    wanted = _wanted(actor, action, target, since, until, q)
    for line in access_of(load_settings()).audit.export(wanted):
        print(line, end="")


def _wanted(
    actor: str | None,
    action: str | None,
    target: str | None,
    since: str | None,
    until: str | None,
    q: str | None,
) -> "AuditFilter":
    from celeriac.access import AuditFilter
    from celeriac.runs import instant_of

    now = datetime.now(UTC)
    first = instant_of("since", since, now) if since else None
    last = instant_of("until", until, now) if until else None
    return AuditFilter(actor, action, target, first, last, q)


def _table(entries: Sequence["Entry"]) -> Table:
    table = Table("When (UTC)", "Who", "By", "From", "Action", "To", "Outcome", box=None)
    for each in entries:
        at = f"{each.at:%Y-%m-%d %H:%M:%S}"
        words = (each.actor, each.means, each.address, each.action, each.target, each.outcome)
        table.add_row(at, *(plain(one_line(word)) for word in words))
    return table
