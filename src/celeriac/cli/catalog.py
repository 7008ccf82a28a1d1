"""`celeriac tasks`: what can be run."""

import json
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from celeriac.cli import options
from celeriac.cli.place import Here, Task, place
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.settings import load_settings


def tasks(app: options.App = None, as_json: options.AsJson = False) -> None:
    """List the tasks that can be submitted."""
    found = (Here(load_settings(app=app)) if app else place()).tasks
    if as_json:
        print(json.dumps([_told(task) for task in found]))
        return
    name = Column("Task", no_wrap=True, overflow="fold")
    table = Table(name, "Parameters", "Queue", "What it does", box=None)
    for task in found:
        table.add_row(
            plain(task.name), _signature(task.schema), plain(task.queue or ""), _words(task)
        )
    printer().print(table)


def _told(task: Task) -> dict[str, Any]:
    warning = {"warning": task.warning} if task.warning else {}
    return {"name": task.name, "parameters": task.schema, **warning}


def _words(task: Task) -> Text:
    """Say what it does, and before that why it cannot."""
    warning = plain(task.warning, "yellow") if task.warning else None
    return Text("\n").join(filter(None, [warning, plain(task.summary)]))


def _signature(schema: dict[str, Any]) -> Text:
    required = schema.get("required", [])
    names = schema.get("properties", {})
    return Text(", ").join(plain(name, "" if name in required else "dim") for name in names)
