"""How long runs have waited for a worker, and how many wait, queue by queue."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from celeriac.history.instants import instant, microseconds
from celeriac.history.tables import DUE_AT, WAITING, runs


def oldest_waiting(connection: Connection, queues: Sequence[str]) -> dict[str, datetime]:
    """Give the instant from which the run waits that waits longest, where one waits."""
    found: dict[str, datetime] = {}
    for queue in queues:
        # One index gives the runs of a queue that wait in the order in which they became due.
        oldest = _waiting(queue).order_by(DUE_AT).limit(1)
        if (at_us := connection.scalar(oldest)) is not None:
            found[queue] = instant(at_us)
    return found


def count_waiting(connection: Connection, most: Mapping[str, int]) -> dict[str, int]:
    """Count the runs that wait in each queue, no further than to the number given for it."""
    counts = {
        queue: select(func.count()).select_from(_waiting(queue).limit(number).subquery())
        for queue, number in most.items()
    }
    return {queue: connection.scalar(count) or 0 for queue, count in counts.items()}


def _waiting(queue: str) -> Select[Any]:
    now_us = microseconds(datetime.now(UTC))
    return select(DUE_AT).where(runs.c.queue == queue, WAITING, now_us >= DUE_AT)
