"""`celeriac tasks`: what can be run."""

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from celeriac.cli import options
from celeriac.settings import load_settings


def tasks(app: options.App = None, as_json: options.AsJson = False) -> None:
    """List the tasks that can be submitted."""
    from celeriac.runs import Runs

    catalog = Runs.of(load_settings(app=app)).catalog
    if as_json:
        print(json.dumps([{"name": t.name, "parameters": t.schema} for t in catalog.tasks]))
        return
    table = Table("Task", "Parameters", "Queue", "What it does", box=None)
    for task in catalog.tasks:
        table.add_row(task.name, _signature(task.schema), task.queue, escape(task.summary))
    Console().print(table)


def _signature(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return ", ".join(
        name if name in required else f"[dim]{name}[/]" for name in schema.get("properties", {})
    )
