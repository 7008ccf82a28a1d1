"""`celeriac tokens ...`: what programs show instead of a password."""

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from celeriac.cli import options
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.shell import access_of, role_of, somebody_here
from celeriac.cli.users import NOTHING, Queues, RoleName, Tasks, shown_instant
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.access import Token

USUAL_DAYS = 90
LONGEST_DAYS = 3650

app = typer.Typer(help="Make tokens for programs, and revoke them.", no_args_is_help=True)


@app.command("list")
def list_tokens(as_json: options.AsJson = False) -> None:
    """List the tokens: whose, for what, and when each was used last."""
    found = access_of(load_settings()).tokens.all()
    if as_json:
        print(json.dumps([token.as_json() for token in found]))
    elif found:
        printer().print(_table(found))
    else:
        print("There is no token. Make one: celeriac tokens create USER --label 'nightly import'")


@app.command("create")
def create_token(
    user: Annotated[str, typer.Argument(help="Whose it is.", metavar="USER")],
    label: Annotated[str, typer.Option(help="What it is for.")],
    role: RoleName = "viewer",
    task: Tasks = None,
    queue: Queues = None,
    days: Annotated[
        int, typer.Option(min=0, max=LONGEST_DAYS, help="For how many days; 0 is for ever.")
    ] = USUAL_DAYS,
    as_json: options.AsJson = False,
) -> None:
    """Make a token that may do what its role may, and never more than its user; shown once."""
    from celeriac.access import Scope, TokenOrder

    access = access_of(load_settings())
    lifetime = timedelta(days=days) if days else None
    scope = Scope.of_words(task or (), queue or ())
    order = TokenOrder(label, role_of(role), scope, lifetime)
    token, text = access.tokens.create(somebody_here(), access.users.get(user), order)
    if as_json:
        print(json.dumps({**token.as_json(), "token": text}))
    else:
        print(text)
        words = f"Keep it now: it is shown this once. `celeriac tokens revoke {token.id}` ends it."
        print(words, file=sys.stderr)


@app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The token's identifier.", metavar="ID")],
) -> None:
    """Let a token open nothing any more, from its next request on."""
    access_of(load_settings()).tokens.revoke(somebody_here(), token_id)
    print(f"{token_id} is revoked.")


def _table(tokens: Sequence["Token"]) -> Table:
    table = Table("Token", "Label", "User", "Role", "Only", "Used", "Ends", box=None)
    for token in tokens:
        only = ", ".join([*(token.scope.tasks or ()), *(token.scope.queues or ())])
        ends = "revoked" if token.revoked_at else shown_instant(token.ends_at)
        used = shown_instant(token.used_at)
        words = (token.id, token.label, token.owner, token.role, only or NOTHING, used, ends)
        table.add_row(*map(plain, words))
    return table
