"""`celeriac dead-letters ...`: look at messages that cannot be executed, replay or discard them."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from celeriac.cli import options
from celeriac.cli.asking import NOBODY_ANSWERS
from celeriac.cli.place import servers
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.trail import Deed, recorded

if TYPE_CHECKING:
    from celeriac.runs import DeadLetters, Letter, LetterList, LetterProgress, LetterSelection

app = typer.Typer(help="Look at dead letters, replay or discard them.", no_args_is_help=True)
HOW_TO_SIGN = "Look at them, then: celeriac dead-letters sign ID"
Ids = Annotated[list[str] | None, typer.Argument(help="Letters, by what `list` calls them.")]
Group = Annotated[
    str | None,
    typer.Option(
        help="Letters that died of the same: its name or how it begins.", callback=options.filled
    ),
]
Queue = Annotated[str | None, typer.Option(help="Letters of this queue.", callback=options.filled)]
All = Annotated[bool, typer.Option("--all", help="Every dead letter.")]
Rate = Annotated[float | None, typer.Option(min=0.001, help="At most so many a second.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_letters(queue: Queue = None, group: Group = None, as_json: options.AsJson = False) -> None:
    """List the oldest dead letters of each queue, and what they died of."""
    found = _dead_letters().find(queue, group)
    if as_json:
        print(found.model_dump_json())
    elif found.letters:
        printer().print(_table(found))
        left = found.total - len(found.letters)
        if left > 0 and group is None:
            print(f"and {left:,} more")
    else:
        print("No such dead letters." if queue or group else "No dead letters.")


@app.command("replay")
def replay(
    ids: Ids = None,
    group: Group = None,
    queue: Queue = None,
    every: All = False,
    rate: Rate = None,
) -> None:
    """Publish dead letters again, each into the queue that it died in."""
    selection = _selection(ids, group, queue, every)
    with _recorded("replay", selection, rate=rate):
        _follow(_dead_letters().replay(selection, rate), "replayed", ids)


@app.command("sign")
def sign(
    ids: Annotated[list[str], typer.Argument(help="Letters that you have looked at.")],
) -> None:
    """Sign dead letters anew whose signature is missing or wrong, and publish them again."""
    selection = _selection(ids, None, None, False)
    with _recorded("sign", selection):
        _follow(_dead_letters().sign(selection), "signed and replayed", ids)


@app.command("discard")
def discard(
    ids: Ids = None,
    group: Group = None,
    queue: Queue = None,
    every: All = False,
    yes: Yes = False,
) -> None:
    """Remove dead letters for good; their runs stay dead in the history."""
    selection = _selection(ids, group, queue, every).check()
    if not yes and _typed_word() != "discard":
        print("Nothing was discarded.", file=sys.stderr)
        raise typer.Exit(1)
    with _recorded("discard", selection):
        _follow(_dead_letters().discard(selection), "discarded", ids)


def _typed_word() -> str:
    try:
        return str(typer.prompt("What is discarded is gone. Type discard to go on"))
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        print(NOBODY_ANSWERS, file=sys.stderr)
        raise typer.Exit(1) from None


def _recorded(
    verb: str, selection: "LetterSelection", **more: object
) -> AbstractContextManager[Deed]:
    detail = selection.model_dump(exclude_defaults=True) | more
    return recorded(servers(), f"letters.{verb}", **detail)


def _dead_letters() -> "DeadLetters":
    from celeriac.runs import Runs

    return Runs.of(servers()).dead_letters


def _selection(
    ids: list[str] | None, group: str | None, queue: str | None, every: bool
) -> "LetterSelection":
    from celeriac.runs import LetterSelection

    return LetterSelection(ids=ids or [], group=group, queue=queue, all=every)


def _follow(progress: Iterator["LetterProgress"], done_word: str, ids: list[str] | None) -> None:
    """Show how far it is and say how it ended; exit with 1 when not all of these could be done."""
    last = next(progress)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("Dead letters", total=last.total)
        for last in progress:
            bar.update(line, completed=last.seen)
    print(f"{last.done:,} {'letter' if last.done == 1 else 'letters'} {done_word}")
    if last.unsigned:
        words = "letter stays" if last.unsigned == 1 else "letters stay"
        why = f"{last.unsigned:,} {words}: the signature is missing or wrong"
        print(f"celeriac: {why}. {HOW_TO_SIGN}", file=sys.stderr)
    if last.stopped:
        print(f"celeriac: {last.stopped}", file=sys.stderr)
        raise typer.Exit(1)
    if (missing := len(set(ids or ())) - last.done - last.unsigned) > 0:
        print(
            f"celeriac: {missing:,} of those that you named are no dead letters.", file=sys.stderr
        )
        raise typer.Exit(1)


def _table(found: "LetterList") -> Table:
    # What `replay` and `discard` are given must be whole; the rest makes way for it.
    whole = [Column(name, no_wrap=True, overflow="fold") for name in ("Letter", "Group")]
    table = Table(*whole, "Died", "Task", "Queue", "Reason", box=None)
    for letter in found.letters:
        died = letter.died_at.astimezone().isoformat(" ", "seconds") if letter.died_at else ""
        words = (letter.task or "unknown", letter.queue, _reason(letter))
        table.add_row(letter.id, letter.group, died, *map(plain, words))
    return table


def _reason(letter: "Letter") -> str:
    return f"{letter.error.type}: {letter.error.message}" if letter.error else letter.reason
