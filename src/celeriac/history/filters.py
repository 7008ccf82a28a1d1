"""Which runs somebody asks for, and the conditions that say so in SQL."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select

from celeriac.history.instants import microseconds
from celeriac.history.states import PENDING, SCHEDULED
from celeriac.history.tables import CHILD_OF_ANOTHER, run_tags, runs
from celeriac.history.text_search import matches

TEXT_WINDOW = timedelta(days=7)
"""How far back a text is searched when no time range is given: no index serves such a search."""

Condition = ColumnElement[bool]


@dataclass(frozen=True)
class RunFilter:
    """Conditions that a run meets all of; an empty one asks nothing.

    `tasks`, `states` and `ids` each mean any of them, `tags` means all of them. `since` (included)
    and `until` (excluded) bound when the run was created, `finished_since` and `finished_until`
    when it ended. `root_id` finds the root itself too. `text` is searched in arguments, result and
    error, whatever its case.
    """

    tasks: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    queue: str | None = None
    worker: str | None = None
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    finished_since: datetime | None = None
    finished_until: datetime | None = None
    parent_id: str | None = None
    root_id: str | None = None
    resubmit_of: str | None = None
    fingerprint: str | None = None
    text: str | None = None
    ids: tuple[str, ...] = ()

    @property
    def is_of_ended(self) -> bool:
        """Tell whether it asks when runs ended."""
        return bool(self.finished_since or self.finished_until)

    def bounded(self, now: datetime | None = None) -> "RunFilter":
        """Give the filter with the time range that a search for text needs."""
        if not self.text or self.since or self.ids:
            return self
        return replace(self, since=(self.until or now or datetime.now(UTC)) - TEXT_WINDOW)


def time_range(created_at: ColumnElement[int], wanted: RunFilter) -> Iterator[Condition]:
    """Give the conditions on the instant of creation."""
    if wanted.since:
        yield created_at >= microseconds(wanted.since)
    if wanted.until:
        yield created_at < microseconds(wanted.until)


def finished_range(wanted: RunFilter) -> Iterator[Condition]:
    """Give the conditions on the instant of the end."""
    if wanted.finished_since:
        yield runs.c.finished_at >= microseconds(wanted.finished_since)
    if wanted.finished_until:
        yield runs.c.finished_at < microseconds(wanted.finished_until)


def stored_states(wanted: RunFilter) -> tuple[str, ...]:
    """Give the states to look for in the tables."""
    return tuple(dict.fromkeys(PENDING if s == SCHEDULED else s for s in wanted.states))


def conditions(wanted: RunFilter, dialect: str) -> Iterator[Condition]:
    """Give what a row of `runs` must meet, all but creation, states and tasks."""
    yield from finished_range(wanted)
    for column, value in (
        (runs.c.queue, wanted.queue),
        (runs.c.worker, wanted.worker),
        (runs.c.parent_id, wanted.parent_id),
        (runs.c.resubmit_of, wanted.resubmit_of),
        (runs.c.fingerprint, wanted.fingerprint),
    ):
        if value is not None:
            yield column == value
    if wanted.ids:
        yield runs.c.id.in_(wanted.ids)
    if wanted.text:
        yield matches(wanted.text, dialect)


def has_tag(tag: str) -> Condition:
    """Give the condition that a run has this tag."""
    return (
        select(run_tags.c.tag)
        .where(run_tags.c.run_id == runs.c.id, run_tags.c.tag == tag)
        .correlate(runs)
        .exists()
    )


def in_family(root_id: str) -> Condition:
    """Give the condition that a run descends from this root, itself excluded."""
    return (runs.c.root_id == root_id) & CHILD_OF_ANOTHER


def in_state(state: str, wanted: RunFilter) -> Condition:
    """Give the condition that a run is in this stored state, and as the filter means it."""
    return and_(runs.c.state == state, *held_or_not(state, wanted))


def held_or_not(state: str, wanted: RunFilter) -> Iterator[Condition]:
    """Tell pending runs that are held for their ETA from those that wait for a worker."""
    if state != PENDING or (PENDING in wanted.states) == (SCHEDULED in wanted.states):
        return
    now = microseconds(datetime.now(UTC))
    if SCHEDULED in wanted.states:
        yield runs.c.eta > now
    else:
        yield or_(runs.c.eta.is_(None), runs.c.eta <= now)
