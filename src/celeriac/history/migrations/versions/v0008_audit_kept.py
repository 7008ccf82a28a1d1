"""The audit trail in SQLite also refuses an entry in the place of one that is there.

`REPLACE` removes what it replaces without telling the triggers of DELETE.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# An entry that has no number yet has -1 in a trigger. PostgreSQL replaces by a refused UPDATE.
REFUSAL = (
    "CREATE TRIGGER audit_entries_keep_REPLACE BEFORE INSERT ON audit_entries "
    "WHEN NEW.seq <> -1 AND NEW.seq <= (SELECT max(seq) FROM audit_entries) "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
)


def upgrade() -> None:
    """Make the trigger."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(REFUSAL)


def downgrade() -> None:
    """Remove it."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_entries_keep_REPLACE")
