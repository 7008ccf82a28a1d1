"""The tables of who may do what, beside those of the history; `history.migrations` makes them.

Whatever opens something (a session, a token, a link) is there as its digest alone: who reads the
database cannot use it.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from celeriac.history.tables import NAME

metadata = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("role", NAME, nullable=False),
    # None: nothing that is typed is right. The person has a link yet to follow, or a provider.
    Column("password", Text),
    Column("issuer", NAME),
    Column("subject", NAME),
    # JSON lists of patterns; None is any.
    Column("tasks", Text),
    Column("queues", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger),
    Column("disabled_at", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("user_id", NAME, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("means", NAME, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("digest", NAME, nullable=False),
    Column("label", Text, nullable=False),
    Column("user_id", NAME, nullable=False),
    Column("role", NAME, nullable=False),
    Column("tasks", Text),
    Column("queues", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger),
    Column("used_at", BigInteger),
    Column("revoked_at", BigInteger),
)

links = Table(
    "links",
    metadata,
    Column("id", NAME, primary_key=True),
    # None: whoever follows it becomes the first administrator.
    Column("user_id", NAME),
    Column("ends_at", BigInteger, nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("code", NAME, nullable=False),
    Column("label", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    # Who has approved it, and what for; without a role nobody has decided yet.
    Column("user_id", NAME),
    Column("role", NAME),
    Column("days", BigInteger),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", NAME, nullable=False),
    Column("means", NAME, nullable=False),
    Column("token_id", NAME),
    Column("address", NAME, nullable=False),
    Column("action", NAME, nullable=False),
    Column("target", NAME, nullable=False),
    Column("outcome", NAME, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

INDEXES = (
    Index("ix_users_name", users.c.name, unique=True),
    Index("ix_users_issuer_subject", users.c.issuer, users.c.subject, unique=True),
    Index("ix_logins_code", logins.c.code, unique=True),
    Index("ix_sessions_user_id", sessions.c.user_id),
    Index("ix_tokens_user_id", tokens.c.user_id),
    Index("ix_audit_entries_actor_seq", audit_entries.c.actor, audit_entries.c.seq),
    Index("ix_audit_entries_action_seq", audit_entries.c.action, audit_entries.c.seq),
    Index("ix_audit_entries_target_seq", audit_entries.c.target, audit_entries.c.seq),
)
