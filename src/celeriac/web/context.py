"""What every view needs, found in the app that serves the request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

from celeriac.access import Access
from celeriac.access.attempts import Attempts
from celeriac.access.audit_writer import AuditWriter
from celeriac.access.errors import AuthenticationOffError
from celeriac.runs import Runs
from celeriac.settings import Settings

if TYPE_CHECKING:
    from celeriac.access.single_sign_on import SingleSignOn

EXTENSION = "celeriac"


@dataclass(frozen=True)
class Guard:
    """Who may do what, and who guesses, where people have to sign in."""

    access: Access
    attempts: Attempts
    sign_on: "SingleSignOn | None" = None


@dataclass(frozen=True)
class Context:
    """The settings and the runs of one web app; without a guard everybody may do everything."""

    settings: Settings
    runs: Runs
    trail: AuditWriter
    guard: Guard | None = None


def settings() -> Settings:
    """Give the settings of the current app."""
    return _context().settings


def runs() -> Runs:
    """Give the runs of the current app."""
    return _context().runs


def guard() -> Guard | None:
    """Give the guard of the current app, if it has one."""
    return _context().guard


def trail() -> AuditWriter:
    """Give what writes down who did what."""
    return _context().trail


def access() -> Access:
    """Give the users and tokens of the current app.

    Raises:
        AuthenticationOffError: nobody has to sign in.
    """
    return keeper().access


def keeper() -> Guard:
    """Give the guard of the current app.

    Raises:
        AuthenticationOffError: nobody has to sign in.
    """
    if (found := _context().guard) is None:
        raise AuthenticationOffError
    return found


def _context() -> Context:
    return cast(Context, current_app.extensions[EXTENSION])
