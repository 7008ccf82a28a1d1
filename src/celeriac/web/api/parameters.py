"""The query of a request: what its operation does not know, or cannot tell apart, is refused.

A misspelt filter that is passed over would answer with everything, as if nothing had been asked.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final, get_origin

from flask import current_app, request
from pydantic import BaseModel

from celeriac.catalog.arguments import pointer
from celeriac.errors import FieldProblem, InvalidInputError

MEANT: Final = {"text": "q", "query": "q", "search": "q", "status": "state", "name": "task"}
"""Words by which other interfaces know what a parameter of ours does."""


def refuse_unclear_query() -> None:
    """Check the names of a query before anything reads it.

    Raises:
        InvalidInputError: a name is not known, stands twice or says nothing.
    """
    if problems := list(_problems()):
        raise InvalidInputError(problems)


def _problems() -> Iterator[FieldProblem]:
    known = _known()
    for name, values in request.args.lists():
        place = pointer([name])
        if name not in known:
            yield FieldProblem(place, _unknown(name, known))
        elif not all(values):
            yield FieldProblem(place, "Give it a value, or leave it out.")
        elif len(values) > 1 and not known[name]:
            yield FieldProblem(place, "Give it once.")


def _known() -> dict[str, bool]:
    """Give the names that the operation knows, and whether each may stand several times."""
    view = current_app.view_functions[request.endpoint or ""]
    query: type[BaseModel] | None = view.__annotations__.get("query")
    fields = query.model_fields if query else {}
    return {name: get_origin(field.annotation) is list for name, field in fields.items()}


def _unknown(name: str, known: Iterable[str]) -> str:
    known = list(known)
    if not known:
        return "There is no such parameter; this takes none."
    meant = [MEANT[name]] if MEANT.get(name) in known else get_close_matches(name, known, 1)
    hint = f" Did you mean {meant[0]}?" if meant else ""
    return f"There is no such parameter; known are {', '.join(known)}.{hint}"
