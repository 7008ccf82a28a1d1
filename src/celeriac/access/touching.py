"""Notes when a session or a token was used last, and no more often than anybody wants to know."""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import Update

from celeriac.errors import HistoryUnavailableError
from celeriac.history.database import Database

TOUCHED_EVERY: Final = timedelta(minutes=1)
"""A page that refreshes itself every second need not be written down each time."""


_not_before_s: WeakKeyDictionary[Database, float] = WeakKeyDictionary()


def touch(database: Database, changed: Update) -> None:
    """Note it; where the database cannot for now, one waits for that, and not everybody."""
    now_s = time.monotonic()
    if now_s < _not_before_s.get(database, now_s):
        return
    _not_before_s[database] = now_s + TOUCHED_EVERY.total_seconds()
    with suppress(HistoryUnavailableError):
        with database.write() as connection:
            connection.execute(changed)
        _not_before_s.pop(database, None)
