"""Writing a batch of events: read the runs they are about, merge, write what has changed.

All of it happens in the one transaction of the caller, which excludes other writers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from celeriac.events import Event, EventKind
from celeriac.history import bulk, statistics
from celeriac.history.instants import microseconds
from celeriac.history.lines import line_of
from celeriac.history.merge import merge_all, stored_id
from celeriac.history.queries import records_of
from celeriac.history.record import FIELDS, Record
from celeriac.history.tables import run_logs, run_tags, runs

IDS_A_QUERY = 1000
TAG_FIELDS = ("run_id", "tag", "state", "created_at")
TAGGED_FIELDS = frozenset({"tags", "state", "created_at"})


def record(connection: Connection, events: Sequence[Event], log_lines_kept: int) -> None:
    """Write the events; those that were written before change nothing."""
    by_run: dict[str, list[Event]] = {}
    for event in events:
        by_run.setdefault(stored_id(event), []).append(event)
    before = _records(connection, by_run)
    after = {
        run_id: merged
        for run_id, its_events in by_run.items()
        if (merged := merge_all(before.get(run_id), its_events)) is not None
    }
    _write_runs(connection, before, after)
    _write_tags(connection, before, after)
    changed = [run_id for run_id in after if before.get(run_id) != after[run_id]]
    statistics.record(
        connection,
        [before[run_id] for run_id in changed if run_id in before],
        [after[run_id] for run_id in changed],
    )
    _write_logs(connection, events, log_lines_kept)


def _records(connection: Connection, run_ids: Iterable[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    left = iter(run_ids)
    while some := list(islice(left, IDS_A_QUERY)):
        rows = connection.execute(records_of(some))
        found.update((row[0], Record._make(row)) for row in rows)
    return found


def _write_runs(
    connection: Connection, before: Mapping[str, Record], after: Mapping[str, Record]
) -> None:
    new = [merged for run_id, merged in after.items() if run_id not in before]
    if new:
        bulk.insert(connection, runs, FIELDS, new)
    for fields, rows in _updates(before, after).items():
        # Naming only what changed spares the indexes of the rest.
        bulk.update(connection, runs, "id", fields, rows)


def _updates(
    before: Mapping[str, Record], after: Mapping[str, Record]
) -> dict[tuple[str, ...], list[tuple[Any, ...]]]:
    """Give the changed values of known runs, grouped by which fields have changed."""
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for run_id, old in before.items():
        changed = _changed(old, after[run_id])
        if changed:
            groups.setdefault(tuple(changed), []).append((run_id, *changed.values()))
    return groups


def _changed(old: Record, new: Record) -> dict[str, Any]:
    if old == new:
        return {}
    return {name: b for name, a, b in zip(FIELDS, old, new, strict=True) if a != b}


def _write_tags(
    connection: Connection, before: Mapping[str, Record], after: Mapping[str, Record]
) -> None:
    tagged = [run_id for run_id in after if after[run_id].tags]
    known = [run_id for run_id in tagged if run_id in before]
    stale = [i for i in known if TAGGED_FIELDS & _changed(before[i], after[i]).keys()]
    if stale:
        gone = run_tags.delete().where(run_tags.c.run_id == bindparam("stale_id"))
        connection.execute(gone, [{"stale_id": run_id} for run_id in stale])
    fresh = {*stale, *(run_id for run_id in tagged if run_id not in before)}
    if rows := [row for run_id in tagged if run_id in fresh for row in _tag_rows(after[run_id])]:
        bulk.insert(connection, run_tags, TAG_FIELDS, rows)


def _tag_rows(merged: Record) -> Iterator[tuple[Any, ...]]:
    for tag in merged.tag_names():
        yield merged.id, tag, merged.state, merged.created_at


def _write_logs(connection: Connection, events: Iterable[Event], kept: int) -> None:
    rows = [_log_row(event) for event in events if event.kind is EventKind.LOG]
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(run_logs).on_conflict_do_nothing(), rows)
    older = (
        select(run_logs.c.seq)
        .where(run_logs.c.run_id == bindparam("logged_id"))
        .order_by(run_logs.c.seq.desc())
        .offset(kept)
        .limit(1)
    )
    surplus = run_logs.delete().where(
        run_logs.c.run_id == bindparam("logged_id"), run_logs.c.seq <= older.scalar_subquery()
    )
    connection.execute(
        surplus, [{"logged_id": i} for i in dict.fromkeys(r["run_id"] for r in rows)]
    )


def _log_row(event: Event) -> dict[str, Any]:
    row = line_of(event)
    written = {name: getattr(row, name) for name in ("seq", "level", "logger", "text", "attempt")}
    return written | {"run_id": stored_id(event), "at": microseconds(row.at)}
