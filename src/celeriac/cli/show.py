"""Runs in the terminal."""

import json
from collections.abc import Sequence
from datetime import datetime

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from celeriac.runs import Run, Runs, RunState

STYLES = {
    RunState.PENDING: ("○", "white"),
    RunState.SCHEDULED: ("◷", "cyan"),
    RunState.STARTED: ("▶", "blue"),
    RunState.RETRY: ("↻", "yellow"),
    RunState.SUCCESS: ("✔", "green"),
    RunState.FAILURE: ("✖", "red"),
    RunState.REVOKED: ("⊘", "magenta"),
}


def submitted(runs: Runs, run: Run, *, wait: bool, as_json: bool) -> None:
    """Print a new run, or wait for its end first and exit with 1 unless it succeeded."""
    if wait:
        run = _followed(runs, run)
    if wait or as_json:
        _print(run, as_json=as_json, only_result=wait)
    else:
        print(run.id)
    if wait and run.state is not RunState.SUCCESS:
        raise typer.Exit(1)


def run(shown: Run, *, as_json: bool) -> None:
    """Print a run."""
    _print(shown, as_json=as_json, only_result=False)


def run_list(shown: Sequence[Run], *, as_json: bool) -> None:
    """Print runs, one a line."""
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in shown]))
        return
    # An identifier that is cut cannot be copied into the next command.
    whole = Column("Run", min_width=36, no_wrap=True)
    table = Table("State", "Task", whole, "Submitted", "Worker", box=None)
    for each in shown:
        icon, style = STYLES[each.state]
        table.add_row(
            Text(f"{icon} {each.state}", style=style),
            Text(each.task or "unknown"),
            each.id,
            _instant(each.submitted_at) or "",
            Text(each.worker or ""),
        )
    Console().print(table)


def _followed(runs: Runs, run: Run) -> Run:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("", total=None, state=run.state)
        for change in runs.watch(run.id):
            run = change or run
            progress = run.progress
            bar.update(
                line,
                state=run.state,
                total=progress.total if progress else None,
                completed=(progress.current or 0) if progress else 0,
                description=(progress.message or "") if progress else "",
            )
    return run


def _print(run: Run, *, as_json: bool, only_result: bool) -> None:
    if as_json:
        print(run.model_dump_json())
    elif only_result and run.state is RunState.SUCCESS:
        print(_as_text(run.result))
    else:
        Console().print(_table(run))


def _table(run: Run) -> Table:
    icon, style = STYLES[run.state]
    table = Table.grid(padding=(0, 2))
    rows: dict[str, str | Text | None] = {
        "Run": run.id,
        "Task": run.task or "unknown",
        "State": Text(f"{icon} {run.state}", style=style),
        "Arguments": json.dumps(run.args, ensure_ascii=False) if run.args else None,
        "Progress": _progress(run),
        "Result": _as_text(run.result) if run.state is RunState.SUCCESS else None,
        "Error": f"{run.error.type}: {run.error.message}" if run.error else None,
        "Queue": run.queue,
        "Worker": run.worker,
        "Attempts": str(run.attempts) if run.attempts else None,
        "Submitted": _instant(run.submitted_at),
        "Not before": _instant(run.eta),
        "Started": _instant(run.started_at),
        "Finished": _instant(run.finished_at),
        "Traceback": (run.error.traceback or None) if run.error else None,
    }
    for name, value in rows.items():
        if value is not None:
            # A Text, not a string: what a task or a person wrote in brackets is no markup of ours.
            table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def _progress(run: Run) -> str | None:
    if run.progress is None:
        return None
    of = f" of {run.progress.total:,}" if run.progress.total is not None else ""
    current = f"{run.progress.current:,}" if run.progress.current is not None else "?"
    return f"{current}{of} {run.progress.message or ''}".strip()


def _as_text(result: object) -> str:
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)


def _instant(instant: datetime | None) -> str | None:
    return instant.astimezone().isoformat(sep=" ", timespec="milliseconds") if instant else None
