"""The names that filter menus offer, found by jumping along an index from one to the next.

`SELECT DISTINCT` would read a million entries to find five names; this reads five.
"""

from dataclasses import dataclass

from sqlalchemy import Column, Connection, func, select

from celeriac.history.tables import run_tags, runs

MOST_NAMES = 1000


@dataclass(frozen=True)
class Names:
    """What occurs in the history, sorted; of each kind the first thousand."""

    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    workers: tuple[str, ...]
    tags: tuple[str, ...]


def names(connection: Connection) -> Names:
    """Give the distinct tasks, queues, workers and tags."""
    columns = (runs.c.task, runs.c.queue, runs.c.worker, run_tags.c.tag)
    return Names(*(_distinct(connection, column) for column in columns))


def _distinct(connection: Connection, column: Column[str]) -> tuple[str, ...]:
    found = select(func.min(column).label("name")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.name).scalar_subquery()
    found = found.union_all(select(following).where(found.c.name.is_not(None)))
    rows = connection.execute(select(found.c.name).limit(MOST_NAMES))
    return tuple(name for (name,) in rows if name is not None)
