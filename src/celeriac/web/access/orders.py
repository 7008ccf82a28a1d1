"""What forms about users and tokens ask for."""

from datetime import timedelta
from typing import Final

from flask import request

from celeriac.access import Role, Scope, TokenOrder
from celeriac.errors import FieldProblem, InvalidInputError

LIFETIMES: Final = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year", "": "no end"}


def asked_role() -> Role:
    """Read a role.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        words = ", ".join(Role)
        raise InvalidInputError([FieldProblem("/role", f"Choose one of {words}.")]) from None


def asked_scope() -> Scope:
    """Read patterns of tasks and queues, separated by commas or spaces.

    Raises:
        InvalidInputError: one is too long, or there are too many.
    """
    tasks, queues = (_words(request.form.get(name, "")) for name in ("tasks", "queues"))
    return Scope.of_words(tasks, queues)


def changed_scope() -> Scope | None:
    """Read limits that may be there already; without its fields a form leaves them as they are.

    Raises:
        InvalidInputError: one of the two is given alone, or does not fit.
    """
    missing = [name for name in ("tasks", "queues") if name not in request.form]
    if len(missing) == 1:
        problem = FieldProblem(f"/{missing[0]}", "Give it, too; empty, it lifts the limit.")
        raise InvalidInputError([problem])
    return None if missing else asked_scope()


def asked_token() -> TokenOrder:
    """Read what a new token shall be.

    Raises:
        InvalidInputError: something does not fit.
    """
    days = request.form.get("days", "")
    if days not in LIFETIMES:
        raise InvalidInputError([FieldProblem("/days", "Choose one of those that are offered.")])
    lifetime = timedelta(days=int(days)) if days else None
    return TokenOrder(request.form.get("label", ""), asked_role(), asked_scope(), lifetime)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
