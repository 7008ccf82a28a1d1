"""Knows how many dead letters there are, and shows runs as dead that the broker put aside.

What a worker of ours puts aside it has told of before. The broker does so by itself where a message
killed more workers than even its own limit allows, or was never taken before it expired.
"""

import logging
import time
from collections.abc import Mapping
from threading import Thread
from typing import Protocol

from celeriac.errors import TransientError
from celeriac.runs.letter_boxes import LetterCount

EVERY_S = 5.0
AT_LEAST_EVERY_S = 600.0
"""In case that as many came as went between two looks at their number."""

log = logging.getLogger(__name__)


class Letters(Protocol):
    """What is watched."""

    def standing(self) -> Mapping[str, LetterCount]:
        """Give how many dead letters each queue has, and whether somebody has more in hand."""
        ...

    def tell(self) -> int:
        """Show runs as dead that are; gives how many."""
        ...


class LetterWatch(Thread):
    """Looks how many dead letters there are, and at each when there are more than before.

    While somebody looks at some of them there seem to be fewer; that tells nothing.
    """

    def __init__(self, letters: Letters, *, tells: bool = True) -> None:
        super().__init__(name="celeriac-dead-letters", daemon=True)
        self._letters = letters
        self._tells = tells
        self._known: dict[str, int] = {}
        self._looked_s = time.monotonic()

    def run(self) -> None:
        """Watch for as long as the process lives."""
        while True:
            try:
                self.look()
            except TransientError as error:
                log.debug("Dead letters cannot be looked at for now: %s", error)
            except Exception:
                # A letter that cannot be understood must not end the watch over all others.
                log.exception("Dead letters cannot be looked at.")
            time.sleep(EVERY_S)

    def look(self) -> None:
        """Learn how many there are, and tell of what is new.

        Raises:
            BrokerUnavailableError, ResultsUnavailableError
        """
        standing = self._letters.standing()
        if not self._tells:
            return
        counts = {n: count.letters for n, count in standing.items() if not count.is_looked_at}
        is_due = time.monotonic() - self._looked_s > AT_LEAST_EVERY_S
        if is_due or any(count > self._known.get(name, 0) for name, count in counts.items()):
            self._letters.tell()
            self._letters.standing()  # What had only expired is gone now.
            self._looked_s = time.monotonic()
        self._known.update(counts)
