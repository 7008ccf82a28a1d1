"""Writes the audit trail beside the answers, so that nobody waits for it.

Entries of a moment go into one transaction. While the database is away they wait, and the log has
each of them, so that what is never written is told all the same.
"""

import atexit
import json
import logging
import threading
from collections import deque

from celeriac.access.audit import AuditTrail, Entry
from celeriac.errors import CeleriacError

MOST_WAITING = 10_000
A_TRANSACTION = 500
AGAIN_AFTER_S = 2.0
LAST_WORDS_S = 5.0

log = logging.getLogger(__name__)


class AuditWriter:
    """Takes entries from any thread; its own thread begins with the first one."""

    def __init__(self, trail: AuditTrail, again_after_s: float = AGAIN_AFTER_S) -> None:
        self._trail = trail
        self._again_after_s = again_after_s
        self._waiting: deque[Entry] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, entry: Entry) -> None:
        """Let an entry be written soon."""
        with self._changed:
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()

    def flush(self, timeout_s: float = LAST_WORDS_S) -> None:
        """Return when all that waits is written, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and end."""
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_WORDS_S)

    def _write(self) -> None:
        while entries := self._next():
            try:
                self._trail.record(entries)
            except CeleriacError as error:
                if self._is_to_give_up(entries, error):
                    return
            else:
                with self._changed:
                    for _ in range(min(len(entries), len(self._waiting))):
                        self._waiting.popleft()
                    self._changed.notify_all()

    def _next(self) -> list[Entry]:
        """Wait for entries; none means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return [self._waiting[n] for n in range(min(A_TRANSACTION, len(self._waiting)))]

    def _is_to_give_up(self, entries: list[Entry], error: CeleriacError) -> bool:
        for entry in entries:
            log.error("not in the audit trail yet (%s): %s", error, json.dumps(entry.as_json()))
        with self._changed:
            return self._changed.wait_for(lambda: self._is_closed, self._again_after_s)
