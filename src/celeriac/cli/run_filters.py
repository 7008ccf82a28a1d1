"""Options that choose runs, for every command that works on several."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from celeriac.runs import RunFilter

_OPTIONS: dict[str, Any] = {
    "task": Annotated[
        list[str] | None, typer.Option("--task", help="Any of these tasks; repeat it.")
    ],
    "state": Annotated[list[str] | None, typer.Option("--state", help="Any of these; repeat it.")],
    "queue": Annotated[str | None, typer.Option(help="Only this queue.")],
    "worker": Annotated[str | None, typer.Option(help="Only this worker.")],
    "tag": Annotated[list[str] | None, typer.Option("--tag", help="All of these; repeat it.")],
    "since": Annotated[str | None, typer.Option(help="An instant, or an age such as 1h or 7d.")],
    "until": Annotated[str | None, typer.Option(help="The same; excluded.")],
    "finished_since": Annotated[str | None, typer.Option(help="When it ended, written likewise.")],
    "finished_until": Annotated[str | None, typer.Option(help="The same; excluded.")],
    "parent": Annotated[str | None, typer.Option(help="Only runs that this run started.")],
    "root": Annotated[str | None, typer.Option(help="Only runs that all began with this one.")],
    "fingerprint": Annotated[str | None, typer.Option(help="Only failures that look the same.")],
    "text": Annotated[str | None, typer.Option("--text", help="In arguments, result or error.")],
}
_QUERY_NAMES = {"text": "q"}
FLAGS = {
    f"/{_QUERY_NAMES.get(name, name)}": f"--{name.replace('_', '-')}"
    for name in (*_OPTIONS, "cursor")
}
"""The options that a problem's pointer means."""


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose runs; it gets them as its first argument."""

    @wraps(command)
    def with_filter(**given: Any) -> None:
        wanted = _wanted({name: given.pop(name) for name in _OPTIONS})
        command(wanted, **given)

    own = list(signature(command).parameters.values())[1:]
    chosen = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    parameters = [*chosen, *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own)]
    with_filter.__signature__ = signature(command).replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=None
    )
    with_filter.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_filter


def _wanted(given: dict[str, list[str] | str | None]) -> "RunFilter":
    from celeriac.runs import RunState, run_filter

    words = {
        _QUERY_NAMES.get(name, name): [value] if isinstance(value, str) else value or []
        for name, value in given.items()
    }
    known = RunState.__members__
    words["state"] = [s.upper() if s.upper() in known else s for s in words["state"]]
    return run_filter(words)
