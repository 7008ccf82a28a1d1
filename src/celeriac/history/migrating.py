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
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    with database.read() as connection:
        if _version(connection) == head:
            return
    # The loser of a race waits here for the winner, and then finds nothing to do.
    with database.write() as connection:
        if database.dialect == POSTGRESQL:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        config.attributes["connection"] = connection
        with _one_at_a_time:
            _upgrade(config)


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(config: Config) -> None:
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            f"The history was made by a newer version of Celeriac ({error}). "
            "Start that version, or name another history with CELERIAC_HISTORY_URL."
        ) from None
