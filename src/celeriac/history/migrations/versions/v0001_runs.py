"""Runs, their tags and log lines, and the statistics over time."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

RUN_INDEXES = (
    (("created_at", "id"), None),
    (("state", "created_at", "id"), None),
    (("task", "state", "created_at", "id"), None),
    (("queue", "state", "created_at", "id"), None),
    (("worker", "state", "created_at", "id"), None),
    (("parent_id", "state", "created_at", "id"), "parent_id IS NOT NULL"),
    (("root_id", "state", "created_at", "id"), "root_id != id"),
    (("resubmit_of", "created_at", "id"), "resubmit_of IS NOT NULL"),
    (("fingerprint", "created_at", "id"), "fingerprint IS NOT NULL"),
    (("fingerprint", "finished_at", "id"), "fingerprint IS NOT NULL"),
)


def upgrade() -> None:
    """Make the first tables."""
    _create_runs()
    _create_run_tags()
    _create_run_logs()
    _create_stat_slots()


def downgrade() -> None:
    """Remove everything."""
    for table in ("stat_slots", "run_logs", "run_tags", "runs"):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("state_at", sa.BigInteger, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("task", NAME),
        sa.Column("fingerprint", NAME),
        sa.Column("progress", sa.Text()),
        sa.Column("progress_at", sa.BigInteger),
        sa.Column("progress_attempt", sa.Integer, nullable=False),
        sa.Column("queue", NAME),
        sa.Column("priority", sa.Integer),
        sa.Column("tags", sa.Text()),
        sa.Column("worker", NAME),
        sa.Column("submitted_at", sa.BigInteger),
        sa.Column("eta", sa.BigInteger),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("parent_id", NAME),
        sa.Column("root_id", NAME),
        sa.Column("resubmit_of", NAME),
        sa.Column("args", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("error_type", NAME),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_traceback", sa.Text()),
        sa.Column("past_attempts", sa.Text()),
    )
    for columns, only in RUN_INDEXES:
        where = None if only is None else sa.text(only)
        name = "ix_runs_" + "_".join(columns)
        op.create_index(name, "runs", list(columns), sqlite_where=where, postgresql_where=where)
    held = sa.text("eta IS NOT NULL")
    order = ["state", "created_at", "id"]
    op.create_index("ix_runs_scheduled", "runs", order, sqlite_where=held, postgresql_where=held)


def _create_run_tags() -> None:
    op.create_table(
        "run_tags",
        sa.Column("run_id", NAME, primary_key=True),
        sa.Column("tag", NAME, primary_key=True),
        sa.Column("state", NAME, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    columns = ["tag", "state", "created_at", "run_id"]
    op.create_index("ix_run_tags_" + "_".join(columns), "run_tags", columns)


def _create_run_logs() -> None:
    op.create_table(
        "run_logs",
        sa.Column("run_id", NAME, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("level", NAME, nullable=False),
        sa.Column("logger", sa.Text()),
        sa.Column("text", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )


def _create_stat_slots() -> None:
    op.create_table(
        "stat_slots",
        sa.Column("width_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("starts_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("runtimes", sa.Text(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
