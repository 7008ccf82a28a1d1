"""`celeriac tasks`: what can be run."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
        # Texts, not strings: what an author wrote in brackets is no markup of ours.
        table.add_row(
            Text(task.name), _signature(task.schema), Text(task.queue or ""), Text(task.summary)
        )
    Console().print(table)


def _signature(schema: dict[str, Any]) -> Text:
    required = schema.get("required", [])
    names = schema.get("properties", {})
    return Text(", ").join(Text(name, style="" if name in required else "dim") for name in names)
