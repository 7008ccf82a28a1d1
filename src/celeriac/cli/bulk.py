"""Bulk actions in the terminal: the count, the question, the bar, the summary."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from celeriac.cli.asking import confirm as ask
from celeriac.cli.plain import harmless, plain
from celeriac.cli.show import INTERRUPTED
from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import BulkProgress, RunCount, RunFilter

GO_ON = "Ask again to go on."
BEGIN_ANEW = "Leave --again out to go on: what was submitted again just now is skipped then."


def check_meant(wanted: RunFilter, *, every: bool) -> None:
    """Refuse a filter that is empty by accident.

    Raises:
        InvalidInputError: it asks nothing, and `--all` does not say that this is meant.
    """
    if wanted == RunFilter() and not every:
        detail = "This would mean every run. Choose some by options such as --task, or say --all."
        raise InvalidInputError([FieldProblem("filter", detail)])


def confirm(question: str, found: RunCount, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Say how many runs are meant and ask; leaves the command where there is nothing to do."""
    if dry_run or not found.total:
        _tell_count(found, dry_run=dry_run, as_json=as_json)
        raise typer.Exit(0)
    if not yes:
        # What asks must not stand among what a program reads.
        ask(f"{question} {found.words}?", err=as_json)


def _tell_count(found: RunCount, *, dry_run: bool, as_json: bool) -> None:
    if not as_json:
        print(f"{found.words} would be gone through." if dry_run else "No run matches.")
    elif dry_run:
        print(json.dumps({"matched": found.total, "capped": found.capped}))
    else:
        _print_json(BulkProgress(matched=0, capped=False, finished=True))


def follow(
    progress: Iterator[BulkProgress], done_word: str, *, as_json: bool, go_on: str = GO_ON
) -> None:
    """Show progress until the end; exits with 1 where a run failed or the way was not gone."""
    last = next(progress)
    try:
        with _bar(done_word, as_json=as_json) as show:
            show(last)
            for last in progress:
                show(last)
    except KeyboardInterrupt:
        _summary(last, done_word, f"Stopped. {go_on}", as_json=as_json)
        raise typer.Exit(INTERRUPTED) from None
    _summary(last, done_word, last.stopped or "", as_json=as_json)
    if last.failed or last.stopped:
        raise typer.Exit(1)


class _Bar:
    def __init__(self, progress: Progress, done_word: str) -> None:
        self._progress = progress
        self._line = progress.add_task(done_word, total=None)

    def __call__(self, now: BulkProgress) -> None:
        gone_through = now.done + now.skipped + now.failed
        total = None if now.capped else now.matched
        self._progress.update(self._line, completed=gone_through, total=total)


def _print_json(now: BulkProgress) -> None:
    print(now.model_dump_json(), flush=True)


@contextmanager
def _bar(done_word: str, *, as_json: bool) -> Iterator[Callable[[BulkProgress], None]]:
    if as_json:
        yield _print_json
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, done_word)


def _summary(last: BulkProgress, done_word: str, why: str, *, as_json: bool) -> None:
    if as_json:
        return
    console = Console(stderr=True)
    for problem in last.problems:
        console.print(plain(f"{problem.run}: {problem.detail}", "red"))
    if last.failed > len(last.problems):
        console.print(f"... and {last.failed - len(last.problems):,} more that failed")
    print(f"{done_word} {last.done:,}, skipped {last.skipped:,}, failed {last.failed:,}.")
    if why:
        print(f"celeriac: {harmless(why)}", file=sys.stderr)
