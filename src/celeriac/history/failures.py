"""Recent failures, those with the same fingerprint as one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from celeriac.history.instants import instant, microseconds
from celeriac.history.tables import runs


@dataclass(frozen=True)
class FailureGroup:
    """Failures that look the same; the sample is the newest of them.

    `count` is of those that ended in the asked time, `first_seen_at` of all that are recorded.
    """

    fingerprint: str
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    sample_id: str
    task: str | None
    error_type: str
    error_message: str


def failures(connection: Connection, since: datetime, limit: int) -> list[FailureGroup]:
    """Group the runs that failed since then, the group with the newest failure first."""
    last = func.max(runs.c.finished_at).label("last")
    groups = (
        select(runs.c.fingerprint, func.count(), last)
        .where(runs.c.fingerprint.is_not(None), runs.c.finished_at >= microseconds(since))
        .group_by(runs.c.fingerprint)
        .order_by(last.desc(), runs.c.fingerprint)
        .limit(limit)
    )
    return [_group(connection, *row) for row in connection.execute(groups).all()]


def _group(connection: Connection, fingerprint: str, count: int, last: int) -> FailureGroup:
    alike = runs.c.fingerprint == fingerprint
    shown = (runs.c.id, runs.c.task, runs.c.error_type, runs.c.error_message)
    newest = select(*shown).where(alike).order_by(runs.c.finished_at.desc(), runs.c.id.desc())
    first = connection.scalar(select(func.min(runs.c.finished_at)).where(alike))
    run_id, task, kind, message = connection.execute(newest.limit(1)).one()
    return FailureGroup(
        fingerprint, count, instant(first or last), instant(last), run_id, task, kind, message or ""
    )
