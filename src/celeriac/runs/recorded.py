"""What the history alone can tell: it needs neither broker nor Redis, and imports no task."""

from datetime import datetime

from celeriac.errors import ResultsUnavailableError
from celeriac.lag import RecorderLag
from celeriac.runs.history import RunHistory
from celeriac.runs.statistics import Stats, check_range
from celeriac.runs.stream import EventStream
from celeriac.settings import Settings


def recorded_stats(settings: Settings, since: datetime, until: datetime, buckets: int) -> Stats:
    """Count what happened in this time; how far the history is behind, only where Redis tells.

    Raises:
        InvalidInputError: the time ends before it begins.
        ConfigurationError, HistoryUnavailableError
    """
    check_range(since, until)
    history = RunHistory.of(settings)
    try:
        found = history.stats(since, until, buckets)
    finally:
        history.close()
    return Stats.of(found, until, _lag(settings))


def _lag(settings: Settings) -> RecorderLag | None:
    if settings.redis_url is None:
        return None
    try:
        return EventStream(settings.redis_url.get_secret_value()).lag()
    except ResultsUnavailableError:
        return None
