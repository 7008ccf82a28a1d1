"""Puts a Python process's clock wrong, before it imports anything; Python imports this by itself.

`CLOCK_OFF_S` says by how many seconds. What measures durations is left alone, as on a host whose
clock is set wrong.
"""

import datetime
import os
import time
from typing import Self

OFF_S = float(os.environ["CLOCK_OFF_S"])
_true_time = time.time


class WrongDatetime(datetime.datetime):
    """Instants as a host with a wrong clock knows them."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        """Give the wrong time."""
        return super().now(tz) + datetime.timedelta(seconds=OFF_S)


time.time = lambda: _true_time() + OFF_S
datetime.datetime = WrongDatetime  # type: ignore[misc]
