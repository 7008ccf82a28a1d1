"""The SQL behind lists of runs, written so that an index gives each page in its order.

An index on `(task, state, created_at, id)` gives the runs of one task and one state in order, and
those of several as several ordered ranges. So a page is the newest rows of a union with one branch
for each pair, each cut to a page's length, whatever share of a million rows the task has.

Runs that ended within a time are found by when they ended, and then put in order: what they cost is
their own number, where the order of creation would lead through all that is older.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from celeriac.history.filters import (
    Condition,
    RunFilter,
    conditions,
    has_tag,
    held_or_not,
    in_family,
    in_state,
    stored_states,
    time_range,
)
from celeriac.history.pages import Place
from celeriac.history.record import FIELDS
from celeriac.history.states import FINISHED, STORED
from celeriac.history.tables import run_tags, runs

MOST_BRANCHES = 120
"""SQLite takes 500 in one statement; with more than this, one scan in time order is as good."""
COLUMNS = tuple(runs.c[name] for name in FIELDS)
Keys = Select[int, str]


def keys(wanted: RunFilter, after: Place | None, limit: int, dialect: str) -> Keys:
    """Select where the runs of a page stand in the order, newest first."""
    is_sorted = not wanted.is_of_ended
    branches = [_cut(keys, after, limit, is_sorted) for keys in _branches(wanted, dialect)]
    return branches[0] if len(branches) == 1 else _union(branches, limit)


def page(wanted: RunFilter, after: Place | None, limit: int, dialect: str) -> Select[Any]:
    """Select the records of a page, newest first."""
    found = keys(wanted, after, limit, dialect).subquery("found")
    order = (found.c.created_at.desc(), found.c.id.desc())
    return select(*COLUMNS).join_from(found, runs, found.c.id == runs.c.id).order_by(*order)


def count(wanted: RunFilter, cap: int, dialect: str) -> Select[int]:
    """Select how many runs there are, counting no further than one past the cap."""
    branches = [keys.limit(cap + 1).subquery() for keys in _branches(wanted, dialect)]
    found = union_all(*(select(branch.c.id) for branch in branches)).limit(cap + 1).subquery()
    return select(func.count()).select_from(found)


def record_of(run_id: str) -> Select[Any]:
    """Select one record."""
    return select(*COLUMNS).where(runs.c.id == run_id)


def resubmitted(run_ids: Iterable[str]) -> Select[str]:
    """Select those of the runs that others name as what they were submitted again from."""
    return select(runs.c.resubmit_of).where(runs.c.resubmit_of.in_(list(run_ids))).distinct()


def records_of(run_ids: Iterable[str]) -> Select[Any]:
    """Select some records, in any order."""
    return select(*COLUMNS).where(runs.c.id.in_(list(run_ids)))


def _cut(keys: Keys, after: Place | None, limit: int, is_sorted: bool) -> Keys:
    """Take a page's length from a range; an index gives it in order unless it is to be sorted."""
    created_at, run_id = keys.selected_columns
    if after:
        keys = keys.where(tuple_(created_at, run_id) < tuple_(*map(literal, after)))
    # A sum is in no index, so that none is taken for the sake of its order.
    first = created_at.desc() if is_sorted else (created_at + 0).desc()
    return keys.order_by(first, run_id.desc()).limit(limit)


def _union(branches: Sequence[Keys], limit: int) -> Keys:
    tables = [branch.subquery() for branch in branches]
    every = union_all(*(select(table.c.created_at, table.c.id) for table in tables)).subquery()
    order = (every.c.created_at.desc(), every.c.id.desc())
    return select(every.c.created_at, every.c.id).order_by(*order).limit(limit)


def _branches(wanted: RunFilter, dialect: str) -> Iterator[Keys]:
    """Give the ordered ranges whose union is what is wanted."""
    wanted = wanted.bounded()
    if wanted.tags:
        yield from _by_tag(wanted, dialect)
        return
    rest = [*conditions(wanted, dialect), *time_range(runs.c.created_at, wanted)]
    for pair in _pairs(wanted):
        if wanted.root_id is None:
            yield _keys(runs, *rest, *pair)
        else:
            yield _keys(runs, in_family(wanted.root_id), *rest, *pair)
    if wanted.root_id is not None:
        yield _keys(runs, runs.c.id == wanted.root_id, *rest, *_any_of(wanted))


def _by_tag(wanted: RunFilter, dialect: str) -> Iterator[Keys]:
    """Walk along the first tag, the rarest thing that people filter by, and look at each run."""
    first, *others = wanted.tags
    needed = [*conditions(wanted, dialect), *(has_tag(tag) for tag in others)]
    if wanted.tasks:
        needed.append(runs.c.task.in_(wanted.tasks))
    if wanted.root_id is not None:
        needed.append(in_family(wanted.root_id) | (runs.c.id == wanted.root_id))
    for state in stored_states(wanted) or STORED:
        tagged = (run_tags.c.tag == first, run_tags.c.state == state)
        meets = _run_of_tag([*needed, *held_or_not(state, wanted)])
        yield _keys(run_tags, *tagged, *meets, *time_range(run_tags.c.created_at, wanted))


def _run_of_tag(needed: Sequence[Condition]) -> Iterator[Condition]:
    if needed:
        run = select(runs.c.id).where(runs.c.id == run_tags.c.run_id, *needed)
        yield run.correlate(run_tags).exists()


def _pairs(wanted: RunFilter) -> list[list[Condition]]:
    """Give the conditions on task and state, one for each range of an index."""
    states: Sequence[str] = stored_states(wanted)
    if not states and wanted.is_of_ended:
        states = sorted(FINISHED)
    elif not states and _goes_with_state(wanted):
        states = STORED
    if max(len(wanted.tasks), 1) * max(len(states), 1) > MOST_BRANCHES or wanted.ids:
        return [list(_any_of(wanted))]
    by_state = [[in_state(state, wanted)] for state in states] or [[]]
    by_task = [[runs.c.task == task] for task in dict.fromkeys(wanted.tasks)] or [[]]
    return [task + state for task in by_task for state in by_state]


def _any_of(wanted: RunFilter) -> Iterator[Condition]:
    if wanted.tasks:
        yield runs.c.task.in_(wanted.tasks)
    if wanted.states:
        yield or_(*(in_state(state, wanted) for state in stored_states(wanted)))


def _goes_with_state(wanted: RunFilter) -> bool:
    """Tell whether the index that serves this filter has the state before the time."""
    if wanted.resubmit_of or wanted.fingerprint:
        return False
    by = (wanted.queue, wanted.worker, wanted.parent_id, wanted.root_id)
    return bool(wanted.tasks) or any(value is not None for value in by)


def _keys(table: FromClause, *where: ColumnElement[bool]) -> Keys:
    run_id = table.c.run_id.label("id") if table is run_tags else table.c.id
    return select(table.c.created_at, run_id).where(and_(True, *where))
