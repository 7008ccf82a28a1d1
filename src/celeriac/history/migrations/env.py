"""Alembic's entry: it runs what is missing in the transaction that `migrating` has begun."""

from alembic import context

from celeriac.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
