"""Writes the audit trail beside the answers, so that nobody waits for it.

Entries of a moment go into one transaction. While the database is away they wait, and the log has
each of them once; so it has those that there is no room for, and those that are left at the end.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from celeriac.access.audit import AuditTrail, Entry
from celeriac.errors import CeleriacError

MOST_WAITING = 10_000
A_TRANSACTION = 500
AGAIN_AFTER_S = 2.0
LAST_WORDS_S = 5.0

log = logging.getLogger(__name__)


class AuditWriter:
    """Takes entries from any thread; its own thread begins with the first one.

    `prepare` makes the tables, before the first entry is written.
    """

    def __init__(
        self,
        trail: AuditTrail,
        prepare: Callable[[], None] = lambda: None,
        again_after_s: float = AGAIN_AFTER_S,
    ) -> None:
        self._trail = trail
        self._prepare = prepare
        self._is_prepared = False
        self._again_after_s = again_after_s
        self._waiting: deque[Entry] = deque()
        self._logged = 0
        """How many of those that wait, from the first on, are in the log already."""
        self._trouble = ""
        self._portion = A_TRANSACTION
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, entry: Entry) -> None:
        """Let an entry be written soon."""
        with self._changed:
            if self._is_closed or len(self._waiting) >= MOST_WAITING:
                why = "the process ends" if self._is_closed else "too many wait"
                log.error("never in the audit trail (%s): %s", why, entry.as_line())
                return
            self._waiting.append(entry)
            if self._trouble:
                self._log_waiting(self._trouble)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()

    def flush(self, timeout_s: float = LAST_WORDS_S) -> bool:
        """Tell whether all that waits is written, once it is or the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and end."""
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_WORDS_S)
        with self._changed:
            self._log_waiting("the process ends")

    def _write(self) -> None:
        while entries := self._next():
            try:
                self._record(entries)
            except CeleriacError as error:
                if self._is_to_give_up(error):
                    return
            except Exception:
                # Nobody else's entry is to suffer, so the one that causes it is looked for.
                if len(entries) == 1:
                    log.exception("never in the audit trail: %s", entries[0].as_line())
                    self._forget(1)
                self._portion = max(1, len(entries) // 2)
            else:
                self._portion = min(2 * self._portion, A_TRANSACTION)
                self._forget(len(entries))

    def _record(self, entries: list[Entry]) -> None:
        if not self._is_prepared:
            self._prepare()
            self._is_prepared = True
        self._trail.record(entries)

    def _next(self) -> list[Entry]:
        """Wait for entries; none means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return list(islice(self._waiting, self._portion))

    def _forget(self, count: int) -> None:
        with self._changed:
            self._trouble = ""
            self._logged = max(0, self._logged - count)
            for _ in range(count):
                self._waiting.popleft()
            self._changed.notify_all()

    def _is_to_give_up(self, error: CeleriacError) -> bool:
        with self._changed:
            self._trouble = str(error)
            self._log_waiting(self._trouble)
            return self._changed.wait_for(lambda: self._is_closed, self._again_after_s)

    def _log_waiting(self, why: str) -> None:
        """Log what waits and is not in the log yet; nobody else may add anything meanwhile."""
        for entry in islice(self._waiting, self._logged, None):
            log.error("not in the audit trail yet (%s): %s", why, entry.as_line())
        self._logged = len(self._waiting)
