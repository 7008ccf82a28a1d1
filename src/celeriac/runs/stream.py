"""The stream of events read back: what is there of one run, and how far the history is behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeriac.events import STREAM, Event, EventKind
from celeriac.history import number_of
from celeriac.lag import RecorderLag, read_lag, unrecorded_from
from celeriac.redis_client import connect, redis_errors

ENTRIES_A_PAGE = 1000
PAGES_AFTER = 5
"""A short request looks no further than this; a stream that waits for nothing looks at the rest."""
MOST_PAGES = 30
"""How far the stream is searched for the lines of one run while no recorder takes them."""

Entry = tuple[bytes, Mapping[bytes, bytes]]


@dataclass(frozen=True)
class Lines:
    """Lines of a run; `seen_up_to` is the place where looking for more was given up, if it was."""

    events: list[Event]
    seen_up_to: str | None = None


class EventStream:
    """Reads the stream in Redis, where nobody has to keep up with it."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)

    def may_have_after(self, run_id: str, event_id: str) -> bool:
        """Tell whether the stream may hold a later event of this run; looks no further than near.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        start = f"({event_id}"
        with redis_errors():
            for _ in range(PAGES_AFTER):
                entries = self._redis.xrange(STREAM, start, count=ENTRIES_A_PAGE)
                if any(fields.get(b"run") == run_id.encode() for _, fields in entries):
                    return True
                if len(entries) < ENTRIES_A_PAGE:
                    return False
                start = f"({entries[-1][0].decode()}"
        return True

    def unrecorded_from(self) -> str:
        """Give the place from which on the history may lack entries.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors():
            return unrecorded_from(self._redis)

    def unrecorded_lines(self, run_id: str, after: str | None = None) -> Lines:
        """Give what the run has logged behind `after` and no recorder has written yet.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        found: list[Event] = []
        with redis_errors():
            start = unrecorded_from(self._redis)
            if after and _is_before(start, after):
                start = f"({after}"
            for _ in range(MOST_PAGES):
                entries = self._redis.xrange(STREAM, start, count=ENTRIES_A_PAGE)
                found += _lines_of(run_id, entries)
                if len(entries) < ENTRIES_A_PAGE:
                    return Lines(found)
                start = f"({entries[-1][0].decode()}"
        return Lines(found, start.removeprefix("("))

    def lag(self) -> RecorderLag:
        """Tell how far the history is behind.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        with redis_errors():
            return read_lag(self._redis)


def _is_before(start: str, after: str) -> bool:
    """Compare where to begin, which may be a minus or begin with a bracket, with a place."""
    place = number_of(start.removeprefix("("))
    return place is None or place <= (number_of(after) or 0)


def _lines_of(run_id: str, entries: Sequence[Entry]) -> list[Event]:
    wanted = (run_id.encode(), EventKind.LOG.encode())
    return [
        Event.of_entry(entry_id.decode(), {n.decode(): v.decode() for n, v in fields.items()})
        for entry_id, fields in entries
        if (fields.get(b"run"), fields.get(b"kind")) == wanted
    ]
