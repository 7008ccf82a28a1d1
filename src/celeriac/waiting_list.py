"""What waits in a worker for a free child of its pool: the most urgent first."""

import heapq
import itertools
from typing import Any


class WaitingList:
    """What waits for a free child: the highest priority first, then in order of arrival."""

    def __init__(self, *, counts_down: bool) -> None:
        self._sign = 1 if counts_down else -1
        self._heap: list[tuple[int, int, Any]] = []
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, waiter: tuple[Any, tuple[Any, ...], dict[str, Any]]) -> None:
        """Add a call that starts a request: Celery's callback with its arguments."""
        rank = self._sign * _priority(waiter[1])
        heapq.heappush(self._heap, (rank, next(self._arrivals), waiter))

    def pop(self) -> Any:
        """Take the most urgent.

        Raises:
            IndexError: nothing waits.
        """
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()

    @classmethod
    def put_into(cls, semaphore: Any, *, counts_down: bool) -> None:
        """Let a `LaxBoundedSemaphore` serve its waiters by priority instead of by arrival."""
        waiting = cls(counts_down=counts_down)
        semaphore._waiting = waiting
        semaphore._add_waiter = waiting.add
        semaphore._pop_waiter = waiting.pop


def _priority(arguments: tuple[Any, ...]) -> int:
    delivery = getattr(arguments[0], "delivery_info", None) if arguments else None
    priority = (delivery or {}).get("priority")
    return priority if isinstance(priority, int) else 0
