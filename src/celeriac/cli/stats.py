"""`celeriac stats`: how many runs there were, how they ended, and how long they took."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from celeriac.cli import options
from celeriac.cli.place import servers


def stats(
    since: Annotated[str, typer.Option(help="An instant, or an age such as 1h or 7d.")] = "1h",
    until: Annotated[
        str | None, typer.Option(help="The same; now by default.", callback=options.filled)
    ] = None,
    buckets: Annotated[int, typer.Option(min=1, max=1000, help="Points of time, about.")] = 60,
    as_json: options.AsJson = False,
) -> None:
    """Count runs and how they ended, with their times of running and waiting."""
    from celeriac.cli import show_stats
    from celeriac.runs import instant_of, recorded_stats

    now = datetime.now(UTC)
    begins_at = instant_of("since", since, now)
    ends_at = instant_of("until", until, now) if until else now
    found = recorded_stats(servers(), begins_at, ends_at, buckets)
    if as_json:
        print(found.model_dump_json())
    else:
        show_stats.print_stats(found)
