"""`celeriac batch FILE`: submit a run for each line of a file."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from celeriac.cli.input_file import opened
from celeriac.cli.place import servers
from celeriac.cli.trail import recorded
from celeriac.errors import CeleriacError, TransientError, UnconfirmedError

if TYPE_CHECKING:
    from celeriac.runs import LineAnswer

MOST_RANGES = 10
File = Annotated[
    str, typer.Argument(help="NDJSON, one submission a line; - is standard input.", metavar="FILE")
]


def batch(file: File) -> None:
    """Submit a run for each line of FILE, such as {"task": "text.reverse", "args": {"text": "a"}}.

    Prints an answer for each line, in order: {"line": 1, "id": "..."}, or what is wrong with it.
    Exits with 1 if a line was refused.
    """
    from celeriac.runs import Runs
    from celeriac.web.api.batch import answer_line

    settings = servers()
    counts = {True: 0, False: 0}
    again: list[int] = []
    with (
        opened(file) as lines,
        _progress(lines) as show,
        recorded(settings, "run.batch", submitted=0, refused=0) as deed,
    ):
        for answer in Runs.of(settings).batch(lines, settings.max_body_bytes):
            counts[answer.error is None] += 1
            deed.detail.update(submitted=counts[True], refused=counts[False])
            sys.stdout.buffer.write(answer_line(answer))
            if is_to_send_again(answer.error):
                again.append(answer.line)
            show(answer)
    sys.stdout.flush()
    print(f"{counts[True]:,} submitted, {counts[False]:,} refused", file=sys.stderr)
    if again:
        print(_advice(again), file=sys.stderr)
    if counts[False]:
        raise typer.Exit(1)


def is_to_send_again(error: CeleriacError | None) -> bool:
    """Tell whether a line was refused only for now; an unconfirmed one may run all the same."""
    return isinstance(error, TransientError) and not isinstance(error, UnconfirmedError)


def _advice(lines: Sequence[int]) -> str:
    """Say what to do about lines that were refused only for now."""
    return (
        f"Something was away for {_ranges(lines)}: send these again. Where each line has an "
        "idempotency_key the whole file may be sent again; no run is made twice."
    )


def _ranges(lines: Sequence[int]) -> str:
    """Write numbers of lines in order, neighbours as one, the first few of many."""
    groups: list[list[int]] = []
    for line in lines:
        if groups and line == groups[-1][-1] + 1:
            groups[-1][1:] = [line]
        else:
            groups.append([line])
    words = [f"{group[0]}-{group[-1]}" if len(group) > 1 else f"{group[0]}" for group in groups]
    more = f" and {len(words) - MOST_RANGES} more" if len(words) > MOST_RANGES else ""
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(words[:MOST_RANGES])}{more}"


@contextmanager
def _progress(lines: BinaryIO) -> Iterator[Callable[["LineAnswer"], None]]:
    """Show on standard error how far it has come, unless the answers show it in the terminal."""
    total = os.fstat(lines.fileno()).st_size if lines.seekable() else None
    columns = (BarColumn(), TextColumn("{task.fields[lines]:,} lines"), TimeElapsedColumn())
    console, is_seen = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=is_seen) as bar:
        line = bar.add_task("", total=total, lines=0)

        def show(answer: "LineAnswer") -> None:
            done = lines.tell() if total is not None else answer.line
            bar.update(line, completed=done, lines=answer.line)

        yield show
