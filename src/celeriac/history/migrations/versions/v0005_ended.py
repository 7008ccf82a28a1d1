"""An index of the runs that ended within a time, which the bars of a chart count."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ENDED = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_runs_state_finished_at_created_at_id",
        "runs",
        ["state", "finished_at", "created_at", "id"],
        sqlite_where=ENDED,
        postgresql_where=ENDED,
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_runs_state_finished_at_created_at_id", "runs")
