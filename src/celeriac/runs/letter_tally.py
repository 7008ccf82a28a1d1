"""How many dead letters there are, as it was heard last: pages tell it at no cost."""

import time
from collections.abc import Mapping

from celeriac.runs.letter_boxes import LetterCount

GOOD_FOR_S = 60.0
"""Of the time before that nothing is told any more."""


class LetterTally:
    """Keeps what the broker told last, whoever asked it."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._heard_s = float("-inf")

    @property
    def known(self) -> Mapping[str, int] | None:
        """Give how many each queue has, where it has any; None where nothing new is known."""
        return self._known if time.monotonic() - self._heard_s < GOOD_FOR_S else None

    def see(self, queue: str, letters: int) -> None:
        """Keep that there are at least so many: more may have come since the broker told."""
        if letters > self._known.get(queue, 0):
            self._known = {**self._known, queue: letters}

    def hear(self, standing: Mapping[str, LetterCount]) -> None:
        """Keep what the broker tells; letters that somebody has in hand are still there."""
        known = {}
        for name, count in standing.items():
            in_hand_too = self._known.get(name, 0) if count.is_looked_at else 0
            if letters := max(count.letters, in_hand_too):
                known[name] = letters
        self._known = known
        self._heard_s = time.monotonic()
