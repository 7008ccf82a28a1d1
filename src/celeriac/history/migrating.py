"""Bringing the tables up to date: any process may do it when it starts, and any two at once."""

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from celeriac.errors import ConfigurationError
from celeriac.history.database import POSTGRESQL, Database

FOLDER = Path(__file__).parent / "migrations"

_one_at_a_time = Lock()
"""alembic keeps what it works on in its modules, so two threads would take it from each other."""


def migrate(database: Database) -> None:
    """Make or change the tables as this version of Celeriac needs them.

    Raises:
        ConfigurationError: the folder cannot be made, or a newer version made the tables.
        HistoryUnavailableError: the database is away or locked.
    """
    database.make_folder()
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with database.read() as connection:
        if revision_of(connection) == head:
            return
    # The loser of a race waits here for the winner, and then finds nothing to do.
    with database.write() as connection:
        if database.dialect == POSTGRESQL:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        upgrade(connection, "head")


def revision_of(connection: Connection) -> str | None:
    """Tell of which revision the tables are; None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, revision: str) -> None:
    """Make or change the tables up to a revision, in the transaction of this connection.

    Raises:
        ConfigurationError: only a newer version of Celeriac knows the revision, or that of the
            tables.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        with _one_at_a_time:
            command.upgrade(config, revision)
    except CommandError as error:
        raise ConfigurationError(
            f"The history was made by a newer version of Celeriac ({error}). "
            "Start that version, or name another history with CELERIAC_HISTORY_URL."
        ) from None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config
