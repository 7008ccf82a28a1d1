"""What a worker's loop has to acknowledge: all that is due, together.

Threads and children of the pool tell the loop of each message that is done. Celery has each of them
acknowledged by itself; on a Redis broker one exchange does for all that came together.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from celeriac.redis_qos import acknowledging_together


class DueAcks:
    """Calls that acknowledge or reject messages; any thread may add one, the loop makes them."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()

    def add(self, loop: Any, call: Callable[[], object]) -> None:
        """Have this done by the loop as soon as it can."""
        self._calls.append(call)
        # For each call, since a loop that fails forgets what it was to do.
        loop.call_soon(self._make, loop)

    def _make(self, loop: Any) -> None:
        due = len(self._calls)
        try:
            with acknowledging_together():
                while due:
                    due -= 1
                    self._calls.popleft()()
        finally:
            if due:  # One has failed, and the others are none the worse for it.
                loop.call_soon(self._make, loop)
