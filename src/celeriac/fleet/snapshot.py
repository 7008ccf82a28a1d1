"""What a worker is doing at this moment, read from Celery's own state.

It is read in a thread of its own while the worker goes on, so each value is taken once and may be
from a moment before the next.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import celery
from celery import Celery, concurrency
from celery.utils.nodenames import nodesplit
from celery.worker import state as worker_state

import celeriac
from celeriac.delivery import queue_of
from celeriac.fleet import MOST_ACTIVE
from celeriac.fleet.record import ActiveRun, Versions, Worker, WorkerState
from celeriac.fleet.system import load_average, memory_bytes
from celeriac.queues import names_of

ATTEMPTS = 10
VERSIONS = Versions(
    celery=celery.__version__,
    celeriac=celeriac.__version__,
    python=platform.python_version(),
)


def snapshot(controller: Any, state: WorkerState) -> Worker:
    """Describe a worker (Celery's `WorkController`) as it is now."""
    consumer = getattr(controller, "consumer", None)
    active = _copied(worker_state.active_requests)
    app = controller.app
    return Worker(
        name=controller.hostname,
        state=state,
        connected=getattr(consumer, "connection", None) is not None,
        heartbeat_at=datetime.now(UTC),
        started_at=controller.startup_time,
        hostname=nodesplit(controller.hostname)[1],
        pid=os.getpid(),
        pool=_pool_kind(controller),
        # A pool that has ended has no processes to count.
        concurrency=getattr(controller.pool, "num_processes", 0),
        can_resize=_can_resize(controller),
        prefetch=_prefetch(consumer),
        active=[_active_run(app, request) for request in active[:MOST_ACTIVE]],
        active_count=len(active),
        taken=_taken(app, active),
        processed=sum(worker_state.total_count.copy().values()),
        queues=consumed_queues(consumer),
        paused=sorted(getattr(consumer, "held_queues", ())),
        versions=VERSIONS,
        load=load_average(),
        memory_bytes=memory_bytes(os.getpid()),
    )


def farewell(last: Worker) -> Worker:
    """Describe a worker that has ended by what it told last."""
    gone = {"state": WorkerState.OFFLINE, "heartbeat_at": datetime.now(UTC), "connected": False}
    return last.model_copy(update=gone | {"active": [], "active_count": 0, "taken": {}})


def consumed_queues(consumer: Any) -> list[str]:
    """Give the names of the queues that a worker consumes at this moment."""
    task_consumer = getattr(consumer, "task_consumer", None)
    return sorted(names_of(task_consumer.queues)) if task_consumer else []


def _copied(requests: Iterable[Any]) -> list[Any]:
    """Copy a set that the worker's own thread may change meanwhile."""
    for _ in range(ATTEMPTS):
        try:
            return list(requests)
        except RuntimeError:
            continue
    return []


def _pool_kind(controller: Any) -> str:
    module = type(controller.pool).__module__
    aliases: dict[str, str | None] = vars(concurrency)["ALIASES"]
    kinds = (kind for kind, path in aliases.items() if (path or "").startswith(module))
    return next(kinds, module.rpartition(".")[2])


def _can_resize(controller: Any) -> bool:
    pool = controller.pool
    is_automatic = getattr(controller, "autoscaler", None) is not None
    return hasattr(pool, "grow") and hasattr(pool, "shrink") and not is_automatic


def _prefetch(consumer: Any) -> int | None:
    qos = getattr(consumer, "qos", None)
    return qos.value or None if qos else None


def _active_run(app: Celery, request: Any) -> ActiveRun:
    started_s = request.time_start
    return ActiveRun(
        id=request.id,
        task=request.name,
        queue=queue_of(app, request.delivery_info),
        started_at=datetime.fromtimestamp(started_s, UTC) if started_s else None,
    )


def _taken(app: Celery, active: list[Any]) -> dict[str, int]:
    """Count the messages that are here: executed, fetched ahead, and held for their ETA."""
    # The types know of the first set alone.
    sets = (vars(worker_state)[name] for name in ("reserved_requests", "scheduled_requests"))
    held = [request for requests in sets for request in _copied(requests)]
    requests = {request.id: request for request in [*active, *held]}
    return dict(
        Counter(queue_of(app, request.delivery_info) or "" for request in requests.values())
    )
