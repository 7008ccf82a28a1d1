"""Who uses this command: whoever has a shell on a machine that knows the database."""

import getpass
import socket
from typing import TYPE_CHECKING

import typer

from celeriac.cli.place import require_servers
from celeriac.settings import Settings

if TYPE_CHECKING:
    from celeriac.access import Access, Identity, Role


def access_of(settings: Settings) -> "Access":
    """Open the users and tokens, made where there are none yet.

    Raises:
        ConfigurationError: a web is meant, the history's address is wrong, or a newer version made
            the tables.
        HistoryUnavailableError: the database is away or locked.
    """
    from celeriac.access import Access

    require_servers(settings)
    access = Access.of(settings)
    access.prepare()
    return access


def somebody_here() -> "Identity":
    """Give who types, as the system knows them."""
    from celeriac.access import Identity, Means, Role

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container may run as a number that nobody has named.
        name = "somebody"
    return Identity(name, Role.ADMIN, Means.CLI, address=socket.gethostname())


def role_of(word: str) -> "Role":
    """Read a role that was typed."""
    from celeriac.access import Role

    try:
        return Role(word.lower())
    except ValueError:
        raise typer.BadParameter(f"Choose one of {', '.join(Role)}.", param_hint="--role") from None
