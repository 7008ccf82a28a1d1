"""The attempt that a line was logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of lines that are there already the attempt is unknown."""
    op.add_column("run_logs", sa.Column("attempt", sa.Integer))


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("run_logs", "attempt")
