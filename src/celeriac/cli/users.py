"""`celeriac users ...`: who may sign in, and what each may do."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from celeriac.cli import options
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.shell import access_of, role_of, somebody_here
from celeriac.exposure import web_url
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.access import Scope, User

app = typer.Typer(help="Add users, and say what each may do.", no_args_is_help=True)
NOTHING = "\N{EN DASH}"
Name = Annotated[str, typer.Argument(help="The user's name.", metavar="NAME")]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", help="Only tasks like this, such as `mail.*`; may be repeated."),
]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", help="Only queues like this; may be repeated.")
]
RoleName = Annotated[str, typer.Option("--role", help="viewer, operator or admin.")]


@app.command("list")
def list_users(as_json: options.AsJson = False) -> None:
    """List the users with what each may do."""
    found = access_of(load_settings()).users.all()
    if as_json:
        print(json.dumps([_as_json(user) for user in found]))
    elif found:
        printer().print(_table(found))
    else:
        print("Nobody may sign in yet. Add an administrator: celeriac users add NAME --role admin")


@app.command("add")
def add_user(
    name: Name,
    role: RoleName = "viewer",
    task: Tasks = None,
    queue: Queues = None,
    as_json: options.AsJson = False,
) -> None:
    """Add a user, and print the link by which they choose a password, once and within a day."""
    from celeriac.access import Scope

    access, who = access_of(load_settings()), somebody_here()
    access.users.add(who, name, role_of(role), Scope.of_words(task or (), queue or ()))
    _tell_link(name, access.links.for_user(who, name), as_json=as_json)


@app.command("link")
def link_user(name: Name, as_json: options.AsJson = False) -> None:
    """Print a link by which a user chooses a new password, once and within a day."""
    access = access_of(load_settings())
    _tell_link(name, access.links.for_user(somebody_here(), name), as_json=as_json)


@app.command("change")
def change_user(
    name: Name,
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.")],
    task: Tasks = None,
    queue: Queues = None,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Any task and any queue from now on.")
    ] = False,
) -> None:
    """Change what a user may do, from their next request on; limits stay that are not given."""
    if no_limits and (task or queue):
        raise typer.BadParameter("Give limits or none, not both.", param_hint="--no-limits")
    access = access_of(load_settings())
    scope = _changed_scope(access.users.get(name), task, queue, no_limits)
    access.users.change(somebody_here(), name, role_of(role), scope)
    only = ", ".join([*(scope.tasks or ()), *(scope.queues or ())])
    print(f"{name} is {role} now{f', limited to {only}' if only else ''}.")


def _changed_scope(
    user: "User", task: list[str] | None, queue: list[str] | None, no_limits: bool
) -> "Scope":
    from celeriac.access import Scope

    if no_limits:
        return Scope()
    given = Scope.of_words(task or (), queue or ())
    return Scope(given.tasks or user.scope.tasks, given.queues or user.scope.queues)


@app.command("disable")
def disable_user(name: Name) -> None:
    """Let a user do nothing any more, at once: by no session and by no token."""
    access_of(load_settings()).users.disable(somebody_here(), name)
    print(f"{name} may do nothing any more.")


@app.command("enable")
def enable_user(name: Name) -> None:
    """Let a user sign in again."""
    access_of(load_settings()).users.enable(somebody_here(), name)
    print(f"{name} may sign in again.")


@app.command("sign-out")
def sign_out_user(name: Name) -> None:
    """Sign a user out everywhere; their tokens stay."""
    access = access_of(load_settings())
    ended = access.sessions.end_all(somebody_here(), access.users.get(name))
    print(f"{name} is signed out of {ended} {'browser' if ended == 1 else 'browsers'}.")


def _tell_link(name: str, secret: str, *, as_json: bool) -> None:
    link = f"{web_url(load_settings())}/welcome/{secret}"
    if as_json:
        print(json.dumps({"name": name.lower(), "link": link}))
    else:
        print(f"{name} chooses a password here, once and within a day:\n{link}")


def _as_json(user: "User") -> dict[str, object]:
    return {
        "name": user.name,
        "role": user.role,
        "tasks": user.scope.tasks,
        "queues": user.scope.queues,
        "has_password": user.has_password,
        "provider": user.issuer,
        "created_at": user.created_at.isoformat(),
        "signed_in_at": user.signed_in_at and user.signed_in_at.isoformat(),
        "disabled": user.disabled_at is not None,
    }


def _table(users: Sequence["User"]) -> Table:
    table = Table("Name", "Role", "Only", "Signs in by", "Signed in", box=None)
    for user in users:
        ways = [
            *(["password"] if user.has_password else []),
            *([user.issuer] if user.issuer else []),
        ]
        by = "disabled" if user.disabled_at else " or ".join(ways) or "a link, not followed yet"
        only = ", ".join([*(user.scope.tasks or ()), *(user.scope.queues or ())])
        at = shown_instant(user.signed_in_at)
        table.add_row(*map(plain, (user.name, user.role, only or NOTHING, by, at)))
    return table


def shown_instant(at: datetime | None) -> str:
    """Write an instant in a table, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}" if at else NOTHING
