"""`celeriac workers ...`: what each worker does, and what can be asked of one."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from celeriac.cli import options
from celeriac.cli.place import servers
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.trail import recorded

if TYPE_CHECKING:
    from celeriac.runs import Worker, Workers

app = typer.Typer(help="Look at workers, resize or end one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The worker's name.", metavar="WORKER")]
By = Annotated[int, typer.Option(min=1, help="How many runs at once more, or fewer.")]
LOOKS = {
    "online": ("●", "green"),
    "stopping": ("◐", "yellow"),
    "offline": ("○", "dim"),
    "lost": ("✖", "red"),
}


@app.command("list")
def list_workers(as_json: options.AsJson = False) -> None:
    """List the workers of the last day, with what each does."""
    found = _workers().all()
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in found]))
    elif found:
        printer().print(_table(found))
    else:
        print("No worker has given a sign of life. Start one: celeriac worker")


@app.command("grow")
def grow_worker(name: Name, by: By = 1, as_json: options.AsJson = False) -> None:
    """Let a worker execute more runs at once, until it restarts."""
    workers = _workers()
    with recorded(servers(), "worker.grow", name, by=by):
        workers.grow(name, by)
    _tell(workers, name, f"{name} executes {by} more at once.", as_json=as_json)


@app.command("shrink")
def shrink_worker(name: Name, by: By = 1, as_json: options.AsJson = False) -> None:
    """Let a worker execute fewer runs at once, until it restarts."""
    workers = _workers()
    with recorded(servers(), "worker.shrink", name, by=by):
        workers.shrink(name, by)
    _tell(workers, name, f"{name} executes {by} fewer at once.", as_json=as_json)


@app.command("shutdown")
def shut_down_worker(name: Name, as_json: options.AsJson = False) -> None:
    """Tell a worker to finish what it executes and end."""
    workers = _workers()
    with recorded(servers(), "worker.shutdown", name):
        workers.shutdown(name)
    _tell(workers, name, f"{name} finishes what it executes and ends.", as_json=as_json)


def _tell(workers: "Workers", name: str, words: str, *, as_json: bool) -> None:
    print(workers.get(name).model_dump_json() if as_json else words)


def _workers() -> "Workers":
    from celeriac.runs import Runs

    return Runs.of(servers()).workers


def _table(workers: Sequence["Worker"]) -> Table:
    numbers = (Column(name, justify="right") for name in ("Active", "Processed", "Seen"))
    name = Column("Worker", no_wrap=True, overflow="fold")
    table = Table(
        name,
        "State",
        *numbers,
        "Pool",
        "Queues",
        box=None,
    )
    for worker in workers:
        icon, style = LOOKS[worker.state]
        paused = [f"{name} (paused)" for name in worker.paused]
        table.add_row(
            plain(worker.name),
            Text(f"{icon} {worker.state}", style=style),
            f"{worker.active_count}/{worker.concurrency}",
            f"{worker.processed:,}",
            _age(worker.heartbeat_at),
            plain(worker.pool),
            plain(", ".join([*worker.queues, *paused])),
        )
    return table


def _age(at: datetime) -> str:
    return f"{str(datetime.now(UTC) - at).partition('.')[0]} ago"
