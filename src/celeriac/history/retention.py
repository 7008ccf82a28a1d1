"""Forgetting old runs: in small transactions, so that the recorder hardly waits."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, literal, or_, select, tuple_

from celeriac.history import statistics
from celeriac.history.database import Database
from celeriac.history.instants import microseconds
from celeriac.history.pages import Place
from celeriac.history.states import FINISHED
from celeriac.history.tables import run_logs, run_tags, runs

RUNS_A_TRANSACTION = 500


@dataclass(frozen=True)
class PruneProgress:
    """How far a prune has come: runs removed so far, and the creation of the last looked at."""

    removed: int
    reached_at_us: int


def prune(
    database: Database, older_than: datetime | None, keep_newest: int | None
) -> Iterator[PruneProgress]:
    """Remove what is older than an instant, and of the rest all but the newest so many.

    A run has an age since its last change. One that is held for a later ETA stays, and only age,
    never number, removes one that has not finished.
    """
    if older_than is not None:
        with database.write() as connection:
            statistics.forget(connection, older_than)
    removed, place = 0, Place(-(2**63), "")
    doomed = _doomed(database, older_than, keep_newest)
    while doomed is not None and (batch := _remove(database, doomed, place)):
        removed, place = removed + len(batch), batch[-1]
        yield PruneProgress(removed, place.created_at)


def _doomed(
    database: Database, older_than: datetime | None, keep_newest: int | None
) -> ColumnElement[bool] | None:
    conditions = []
    if older_than is not None:
        limit = microseconds(older_than)
        old = and_(runs.c.created_at < limit, runs.c.state_at < limit)
        conditions.append(and_(old, or_(runs.c.eta.is_(None), runs.c.eta < limit)))
    if keep_newest is not None and (oldest_kept := _place_of_nth(database, keep_newest)):
        place = tuple_(runs.c.created_at, runs.c.id)
        beyond = place <= tuple_(*map(literal, oldest_kept))
        conditions.append(and_(beyond, runs.c.state.in_(FINISHED)))
    return or_(*conditions) if conditions else None


def _place_of_nth(database: Database, number: int) -> Place | None:
    """Find the newest run that is one too many."""
    order = (runs.c.created_at.desc(), runs.c.id.desc())
    query = select(runs.c.created_at, runs.c.id).order_by(*order).offset(number).limit(1)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return Place(*row) if row else None


def _remove(database: Database, doomed: ColumnElement[bool], after: Place) -> list[Place]:
    place = tuple_(runs.c.created_at, runs.c.id)
    query = (
        select(runs.c.created_at, runs.c.id)
        .where(place > tuple_(*map(literal, after)), doomed)
        .order_by(runs.c.created_at, runs.c.id)
        .limit(RUNS_A_TRANSACTION)
    )
    with database.write() as connection:
        places = [Place(*row) for row in connection.execute(query)]
        ids = [place.id for place in places]
        for table, column in ((run_tags, run_tags.c.run_id), (run_logs, run_logs.c.run_id)):
            connection.execute(table.delete().where(column.in_(ids)))
        connection.execute(runs.delete().where(runs.c.id.in_(ids)))
    return places
