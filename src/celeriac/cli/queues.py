"""`celeriac queues ...`: what waits in each queue, and holding one back or emptying it."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from celeriac.cli import options
from celeriac.cli.asking import confirm
from celeriac.cli.place import servers
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.cli.trail import recorded

if TYPE_CHECKING:
    from celeriac.runs import Queue, Queues

app = typer.Typer(help="Look at queues, pause, resume or purge one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The queue's name.", metavar="QUEUE")]
STEP_S = 10.0
"""After so long a purge tells how far it is. Each step gives back what it keeps, which RabbitMQ
lets happen twenty times."""
UNKNOWN = "\N{EN DASH}"


@app.command("list")
def list_queues(as_json: options.AsJson = False) -> None:
    """List the queues with what waits in each."""
    found = _queues().all()
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in found]))
    else:
        printer().print(_table(found))


@app.command("pause")
def pause_queue(name: Name, as_json: options.AsJson = False) -> None:
    """Let no worker take more from a queue, restarts included, until it is resumed."""
    with recorded(servers(), "queue.pause", name):
        queue = _queues().pause(name)
    if as_json:
        print(queue.model_dump_json())
        return
    waiting = "" if queue.ready is None else f" {queue.ready} wait in it."
    print(f"{name} is paused.{waiting} Workers finish what they have fetched.")


@app.command("resume")
def resume_queue(name: Name, as_json: options.AsJson = False) -> None:
    """Let workers consume a queue again."""
    with recorded(servers(), "queue.resume", name):
        queue = _queues().resume(name)
    if as_json:
        print(queue.model_dump_json())
        return
    count = len(queue.workers)
    consumed = "1 worker consumes it" if count == 1 else f"{count} workers consume it"
    print(f"{name} is resumed; {consumed}.")


@app.command("purge")
def purge_queue(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Drop what waits in a queue for good; its runs end as REVOKED."""
    queues = _queues()
    waiting = queues.get(name).ready
    if not yes:
        what = "what waits" if waiting is None else f"the {waiting:,} that wait"
        confirm(f"Drop {what} in {name} for good?", err=as_json)
    with recorded(servers(), "queue.purge", name) as deed:
        done = queues.purge(name, within_s=STEP_S)
        deed.detail["purged"] = total = done.purged
        while done.left:
            print(f"{total:,} purged, {done.left:,} left", file=sys.stderr)
            done = queues.purge(name, done.left + done.kept, within_s=STEP_S)
            total += done.purged
            deed.detail["purged"] = total
    if as_json:
        print(done.model_copy(update={"purged": total}).model_dump_json())
        return
    print(f"{total:,} purged")
    if done.kept:
        print(f"{done.kept} had begun before; they end when a worker takes them.")


@app.command("migrate")
def migrate_queues() -> None:
    """Define queues anew that an earlier version defined; their messages are kept."""
    names: list[str] = []
    with recorded(servers(), "queue.migrate", queues=names):
        for name, moved in _queues().definitions.migrate():
            print(f"{name}: {moved:,} {'message' if moved == 1 else 'messages'} kept, defined anew")
            names.append(name)
    if not names:
        print("Nothing to do: every queue is defined as it should be.")


def _queues() -> "Queues":
    from celeriac.runs import Runs

    return Runs.of(servers()).queues


def _table(queues: Sequence["Queue"]) -> Table:
    numbers = (Column(name, justify="right") for name in ("Ready", "Taken", "Consumers"))
    name = Column("Queue", no_wrap=True, overflow="fold")
    table = Table(
        name,
        *numbers,
        "Paused",
        "Oldest waits",
        "Tasks",
        box=None,
    )
    for queue in queues:
        counts = (queue.ready, queue.taken, queue.consumers)
        table.add_row(
            plain(queue.name),
            *(UNKNOWN if count is None else f"{count:,}" for count in counts),
            Text("‖ paused", style="yellow") if queue.paused else "",
            _age(queue.oldest_waiting_at),
            Text(str(len(queue.tasks))),
        )
    return table


def _age(since: datetime | None) -> str:
    if since is None:
        return ""
    return str(datetime.now(UTC) - since).partition(".")[0]
