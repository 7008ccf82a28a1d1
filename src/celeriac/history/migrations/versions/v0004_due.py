"""An index of the runs that wait for a worker, by the instant from which they do."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DUE_AT = sa.text("(CASE WHEN (eta > created_at) THEN eta ELSE created_at END)")
WAITING = sa.text("state = 'PENDING'")


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_runs_due",
        "runs",
        ["queue", DUE_AT],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_runs_due", "runs")
