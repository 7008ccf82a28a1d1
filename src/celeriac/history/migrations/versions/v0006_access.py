"""Who may do what, and who did what: users, sessions, tokens, links and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REFUSAL = "the audit trail is append-only"
SQLITE_REFUSAL = (
    "CREATE TRIGGER audit_entries_keep_{what} BEFORE {what} ON audit_entries "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
)
POSTGRESQL_REFUSAL = (
    "CREATE FUNCTION audit_entries_keep() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    "CREATE TRIGGER audit_entries_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_keep()",
)


def upgrade() -> None:
    """Make the tables."""
    _create_users()
    _create_sessions()
    _create_tokens()
    _create_links()
    _create_audit()
    for statement in _refusals():
        op.execute(statement)


def downgrade() -> None:
    """Remove them; what they hold is lost."""
    for table in ("audit_entries", "links", "tokens", "sessions", "users"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entries_keep()")


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("role", NAME, nullable=False),
        sa.Column("password", sa.Text()),
        sa.Column("issuer", NAME),
        sa.Column("subject", NAME),
        sa.Column("tasks", sa.Text()),
        sa.Column("queues", sa.Text()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("signed_in_at", sa.BigInteger),
        sa.Column("disabled_at", sa.BigInteger),
    )
    op.create_index("ix_users_name", "users", ["name"], unique=True)
    op.create_index("ix_users_issuer_subject", "users", ["issuer", "subject"], unique=True)


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("user_id", NAME, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("means", NAME, nullable=False),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("user_id", NAME, nullable=False),
        sa.Column("role", NAME, nullable=False),
        sa.Column("tasks", sa.Text()),
        sa.Column("queues", sa.Text()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("user_id", NAME),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("means", NAME, nullable=False),
        sa.Column("token_id", NAME),
        sa.Column("address", NAME, nullable=False),
        sa.Column("action", NAME, nullable=False),
        sa.Column("target", NAME, nullable=False),
        sa.Column("outcome", NAME, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    for column in ("actor", "action", "target"):
        op.create_index(f"ix_audit_entries_{column}_seq", "audit_entries", [column, "seq"])


def _refusals() -> tuple[str, ...]:
    """Give what makes the database itself refuse to change or remove an entry."""
    if op.get_bind().dialect.name == "postgresql":
        return POSTGRESQL_REFUSAL
    return tuple(SQLITE_REFUSAL.format(what=what) for what in ("UPDATE", "DELETE"))
