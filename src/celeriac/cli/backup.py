"""`celeriac backup FILE` and `celeriac restore FILE`: all that is kept, in one file, and back."""

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from celeriac.cli import options
from celeriac.cli.place import servers
from celeriac.cli.trail import recorded

File = Annotated[Path, typer.Argument(help="The file, such as /backup/celeriac.tar.gz.")]
Management = Annotated[
    str | None,
    typer.Option(
        help="RabbitMQ's management, as an administrator: http://admin:PASSWORD@HOST:15672.",
        envvar="CELERIAC_MANAGEMENT_URL",
    ),
]


def backup(
    file: File,
    management: Management = None,
    broker: options.Broker = None,
    redis: options.Redis = None,
) -> None:
    """Save results, history, users and definitions of queues into FILE, while everything runs."""
    from celeriac.runs.backup import save

    settings = servers(broker_url=broker, redis_url=redis)
    _tell(save(settings, file, management))
    if settings.require_urls()[0].startswith("amqp"):
        left_out = "" if management else " Nor are its definitions: --management was not given."
        print(f"Messages that wait in RabbitMQ are not in it.{left_out}", file=sys.stderr)
    print(f"Saved into {file}, {file.stat().st_size:,} bytes.")


def restore(
    file: File,
    management: Management = None,
    broker: options.Broker = None,
    redis: options.Redis = None,
) -> None:
    """Put back what FILE holds, where nothing is yet; start the roles afterwards."""
    from celeriac.runs.backup import restore as put_back

    settings = servers(broker_url=broker, redis_url=redis)
    parts = put_back(settings, file, management)
    _tell(islice(parts, 1))  # The history, and with it the audit trail.
    with recorded(settings, "backup.restore", file.name):
        _tell(parts)
    print(f"Restored {file}. Start the roles now.")


def _tell(parts: Iterable[tuple[str, str]]) -> None:
    for name, words in parts:
        print(f"{name}: {words}")
