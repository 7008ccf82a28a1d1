"""The pace of a bulk action: how many runs at once, and how many a second."""

import time
from collections.abc import Iterator

AT_ONCE = 8
LIFE_EVERY_S = 0.25


class Pace:
    """Leaves time between runs, so that there are at most so many a second.

    Without a rate several go at once, since each mostly waits for Redis and the broker.
    """

    def __init__(self, rate: float | None) -> None:
        self.at_once = 1 if rate else AT_ONCE
        self._pause_s = 1 / rate if rate else 0.0
        self._next_s = time.monotonic()

    def wait(self) -> Iterator[None]:
        """Wait until it is time for the next run, with a sign of life now and then."""
        while (left_s := self._next_s - time.monotonic()) > 0:
            time.sleep(min(left_s, LIFE_EVERY_S))
            yield

    def spend(self) -> None:
        """Use this turn; what was missed by a slow server is not made up for."""
        self._next_s = max(self._next_s + self._pause_s, time.monotonic())
