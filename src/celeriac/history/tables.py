"""The tables of the history, as queries see them; `migrations` makes them.

Every index that serves a page of runs ends in `created_at, id`, the order of the pages. Those of
filters that go with states have the state before that: a page without given states is the union of
one short range for each state (see `queries`).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    literal_column,
)

metadata = MetaData()

# Identifiers and names compare by code point on both databases: sorted as Python sorts them, and
# without the cost of a language's rules.
NAME = Text().with_variant(Text(collation="C"), "postgresql")

runs = Table(
    "runs",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("state_at", BigInteger, nullable=False),
    Column("state", NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("task", NAME),
    Column("fingerprint", NAME),
    Column("progress", Text),
    Column("progress_at", BigInteger),
    Column("progress_attempt", Integer, nullable=False),
    Column("queue", NAME),
    Column("priority", Integer),
    Column("tags", Text),
    Column("worker", NAME),
    Column("submitted_at", BigInteger),
    Column("eta", BigInteger),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("parent_id", NAME),
    Column("root_id", NAME),
    Column("resubmit_of", NAME),
    Column("args", Text),
    Column("result", Text),
    Column("error_type", NAME),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("past_attempts", Text),
)

run_tags = Table(
    "run_tags",
    metadata,
    Column("run_id", NAME, primary_key=True),
    Column("tag", NAME, primary_key=True),
    # Copies of the run's, so that one index serves a tag with states and time.
    Column("state", NAME, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

run_logs = Table(
    "run_logs",
    metadata,
    Column("run_id", NAME, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("level", NAME, nullable=False),
    Column("logger", Text),
    Column("text", Text, nullable=False),
    Column("attempt", Integer),
    sqlite_with_rowid=False,
)

stat_slots = Table(
    "stat_slots",
    metadata,
    Column("width_s", Integer, primary_key=True, autoincrement=False),
    Column("starts_at", BigInteger, primary_key=True, autoincrement=False),
    Column("counts", Text, nullable=False),
    Column("runtimes", Text, nullable=False),
    Column("waits", Text, nullable=False),
    sqlite_with_rowid=False,
)

CHILD_OF_ANOTHER = runs.c.root_id != runs.c.id
"""Celery makes a run without a parent its own root; such rows need no place in an index."""
ENDED = runs.c.finished_at.is_not(None)
FAILED = runs.c.fingerprint.is_not(None)
WAITING = runs.c.state == literal_column("'PENDING'")
"""Written out, since SQLite takes a partial index only for what it can compare when it plans."""
DUE_AT = case((runs.c.eta > runs.c.created_at, runs.c.eta), else_=runs.c.created_at)
"""From when on a run waits for a worker: until its ETA it is held."""


def _index(*columns: str, only: ColumnElement[bool] | None = None) -> Index:
    name = "ix_runs_" + "_".join(columns)
    found = (runs.c[column] for column in columns)
    return Index(name, *found, sqlite_where=only, postgresql_where=only)


INDEXES = (
    _index("created_at", "id"),
    _index("state", "created_at", "id"),
    _index("task", "state", "created_at", "id"),
    _index("queue", "state", "created_at", "id"),
    _index("worker", "state", "created_at", "id"),
    _index("parent_id", "state", "created_at", "id", only=runs.c.parent_id.is_not(None)),
    _index("root_id", "state", "created_at", "id", only=CHILD_OF_ANOTHER),
    _index("resubmit_of", "created_at", "id", only=runs.c.resubmit_of.is_not(None)),
    _index("fingerprint", "created_at", "id", only=FAILED),
    _index("fingerprint", "finished_at", "id", only=FAILED),
    _index("state", "finished_at", "created_at", "id", only=ENDED),
    Index(
        "ix_runs_scheduled",
        runs.c.state,
        runs.c.created_at,
        runs.c.id,
        sqlite_where=runs.c.eta.is_not(None),
        postgresql_where=runs.c.eta.is_not(None),
    ),
    Index("ix_runs_due", runs.c.queue, DUE_AT, sqlite_where=WAITING, postgresql_where=WAITING),
    Index(
        "ix_run_tags_tag_state_created_at_run_id",
        run_tags.c.tag,
        run_tags.c.state,
        run_tags.c.created_at,
        run_tags.c.run_id,
    ),
)
