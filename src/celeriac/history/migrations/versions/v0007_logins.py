"""Logins of command lines that wait until somebody approves them in a browser."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "logins",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("code", NAME, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("user_id", NAME),
        sa.Column("role", NAME),
        sa.Column("days", sa.BigInteger),
    )
    op.create_index("ix_logins_code", "logins", ["code"], unique=True)


def downgrade() -> None:
    """Remove it; whoever waits begins again."""
    op.drop_table("logins")
