"""Options that several commands share; each default is the setting of the same name."""

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[
    str | None,
    typer.Option(help="Address to listen on.", envvar="CELERIAC_HOST", show_default="127.0.0.1"),
]
Port = Annotated[
    int | None,
    typer.Option(help="TCP port of the web.", envvar="CELERIAC_PORT", show_default="5000"),
]
FlowerPort = Annotated[
    int | None,
    typer.Option(help="TCP port of Flower.", envvar="CELERIAC_FLOWER_PORT", show_default="5555"),
]
Workers = Annotated[
    int | None,
    typer.Option(help="How many workers.", envvar="CELERIAC_WORKERS", show_default="1"),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        help="How many runs a worker executes at once.",
        envvar="CELERIAC_CONCURRENCY",
        show_default="the number of cores",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data is kept.", envvar="CELERIAC_DATA_DIR", show_default=".celeriac"),
]
Broker = Annotated[
    str | None,
    typer.Option(
        help="Address of the broker, amqp:// or redis://.",
        envvar="CELERIAC_BROKER_URL",
        show_envvar=True,
        show_default="an embedded Valkey",
    ),
]
Redis = Annotated[
    str | None,
    typer.Option(
        help="Address of the result backend, redis://.",
        envvar="CELERIAC_REDIS_URL",
        show_default="an embedded Valkey",
    ),
]
App = Annotated[
    str | None,
    typer.Option("--app", "-A", help="Your own Celery app, module:app.", envvar="CELERIAC_APP"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
