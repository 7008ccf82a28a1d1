"""Questions before what cannot be undone."""

import sys
from typing import Final

import typer

NOBODY_ANSWERS: Final = "\nceleriac: Nothing was done, for want of a yes. Add --yes."


def confirm(question: str, *, err: bool = False) -> None:
    """Ask, and leave the command unless the answer is yes; `err` keeps it out of what is read."""
    try:
        typer.confirm(question, abort=True, err=err)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        # Whoever is no person cannot know what would have been an answer.
        print(NOBODY_ANSWERS, file=sys.stderr)
        raise typer.Exit(1) from None
