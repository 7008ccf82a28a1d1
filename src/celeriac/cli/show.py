"""Runs in the terminal."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from celeriac.cli.plain import one_line, plain, print_words
from celeriac.cli.printer import print_fitting, printer
from celeriac.cli.run_table import STYLES, instant, tables
from celeriac.errors import CeleriacError
from celeriac.marks import readable
from celeriac.runs import Run, RunState, json_of

if TYPE_CHECKING:
    from celeriac.cli.place import Place

INTERRUPTED = 130
"""The exit code of a command that was ended by Ctrl-C."""


def submitted(where: "Place", run: Run, *, wait: bool, as_json: bool) -> None:
    """Print a new run, or wait for its end first and exit with 1 unless it succeeded."""
    if wait:
        run = _ended(where, run)
    if wait or as_json:
        _print(run, as_json=as_json, only_result=wait)
    else:
        print(run.id)
    if wait and run.state is not RunState.SUCCESS:
        raise typer.Exit(1)


def run(shown: Run, *, as_json: bool) -> None:
    """Print a run."""
    _print(shown, as_json=as_json, only_result=False)


def awaited(where: "Place", run: Run, *, as_json: bool) -> None:
    """Print a run once it has ended, and exit with 1 unless it succeeded."""
    ended = run if run.state.finished else _ended(where, run)
    _print(ended, as_json=as_json, only_result=False)
    if ended.state is not RunState.SUCCESS:
        raise typer.Exit(1)


def run_list(shown: Sequence[Run], *, as_json: bool, with_head: bool = True) -> None:
    """Print runs, one a line."""
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in shown]))
        return
    print_fitting(tables(shown, with_head=with_head))


def _ended(where: "Place", run: Run) -> Run:
    """Wait for the end; who cannot, or stops waiting, learns how to find the run, which goes on."""
    words = f"celeriac: Not waiting any more. The run goes on: celeriac run show {run.id}"
    try:
        return _followed(where, run)
    except KeyboardInterrupt:
        print(words, file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except CeleriacError:
        print(words, file=sys.stderr)
        raise


def _followed(where: "Place", run: Run) -> Run:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("", total=None, state=run.state)
        for change in where.watch(run.id):
            run = change or run
            progress = run.progress
            bar.update(
                line,
                state=run.state,
                total=progress.total if progress else None,
                completed=(progress.current or 0) if progress else 0,
                description=one_line(progress.message or "") if progress else "",
            )
    return run


def _print(run: Run, *, as_json: bool, only_result: bool) -> None:
    if as_json:
        print(json_of(run))
    elif only_result and run.state is RunState.SUCCESS:
        print_words(_as_text(run.result))
    else:
        printer().print(_table(run))


def _table(run: Run) -> Table:
    icon, style = STYLES[run.state]
    table = Table.grid(padding=(0, 2))
    rows: dict[str, str | Text | None] = {
        "Run": run.id,
        "Task": run.task or "unknown",
        "State": Text(f"{icon} {run.state}", style=style),
        "Arguments": json.dumps(readable(run.args), ensure_ascii=False) if run.args else None,
        "Progress": _progress(run),
        "Result": _as_text(run.result) if run.state is RunState.SUCCESS else None,
        "Error": f"{run.error.type}: {run.error.message}" if run.error else None,
        "Queue": run.queue,
        "Worker": run.worker,
        "Attempts": str(run.attempts) if run.attempts else None,
        "Submitted": instant(run.submitted_at),
        "Not before": instant(run.eta),
        "Started": instant(run.started_at),
        "Finished": instant(run.finished_at),
        "Traceback": (run.error.traceback or None) if run.error else None,
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else plain(value))
    return table


def _progress(run: Run) -> str | None:
    if run.progress is None:
        return None
    of = f" of {run.progress.total:,}" if run.progress.total is not None else ""
    current = f"{run.progress.current:,}" if run.progress.current is not None else "?"
    return f"{current}{of} {run.progress.message or ''}".strip()


def _as_text(result: object) -> str:
    result = readable(result)
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
