"""Notes when a session or a token was used last, and no more often than anybody wants to know."""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from sqlalchemy import Update

from celeriac.errors import HistoryUnavailableError
from celeriac.history.database import Database

TOUCHED_EVERY: Final = timedelta(minutes=1)
"""A page that refreshes itself every second need not be written down each time."""


def touch(database: Database, changed: Update) -> None:
    """Note it; where the database cannot for now, nobody should wait for that."""
    with suppress(HistoryUnavailableError), database.write() as connection:
        connection.execute(changed)
