"""Queues and workers with what their pages show besides the plain values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from celeriac.runs import ActiveRun, Queue, Worker, WorkerState
from celeriac.web.look import StateLook

MOST_SLOTS: Final = 64
"""More slots than this are told as a number alone."""
PAUSED: Final = StateLook("Paused", "player-pause", "retry")
FLOWS: Final = StateLook("Consumed", "circle-check", "success")
NOBODY: Final = StateLook("No worker", "alert-triangle", "failure")
IDLE: Final = StateLook("No worker", "circle-dashed", "pending")
UNKNOWN: Final = StateLook("Unknown", "help-circle", "pending")
NO_BROKER: Final = StateLook("No broker", "plug-connected-x", "retry")
WORKERS: Final = {
    WorkerState.ONLINE: StateLook("Online", "circle-check", "success"),
    WorkerState.STOPPING: StateLook("Stopping", "hourglass", "retry"),
    WorkerState.OFFLINE: StateLook("Offline", "power", "pending"),
    WorkerState.LOST: StateLook("Lost", "heart-broken", "failure"),
}


@dataclass(frozen=True)
class QueueView:
    """A queue as its row shows it; `longest` is how many wait in the fullest queue."""

    queue: Queue
    longest: int

    @property
    def look(self) -> StateLook:
        """Give one word for how it is."""
        if self.queue.paused:
            return PAUSED
        if self.queue.consumers:
            return FLOWS
        if self.queue.consumers is None and not self.queue.workers:
            return UNKNOWN
        return NOBODY if self.queue.ready else IDLE

    @property
    def share(self) -> float:
        """Give its depth as a part (0 to 1) of the fullest queue's."""
        return (self.queue.ready or 0) / self.longest if self.longest else 0.0


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time, and the run that is in it."""

    run: ActiveRun | None


@dataclass(frozen=True)
class WorkerView:
    """A worker as its card shows it."""

    worker: Worker

    @property
    def look(self) -> StateLook:
        """Give one word for how it is."""
        if self.worker.state is WorkerState.ONLINE and not self.worker.connected:
            return NO_BROKER
        return WORKERS[self.worker.state]

    @property
    def is_alive(self) -> bool:
        """Tell whether it can be told to do something."""
        return self.worker.state.is_alive

    @property
    def can_shrink(self) -> bool:
        """Tell whether it can do with fewer slots."""
        return self.is_alive and self.worker.can_resize and self.worker.concurrency > 1

    @property
    def can_grow(self) -> bool:
        """Tell whether it can get more slots."""
        return self.is_alive and self.worker.can_resize

    @property
    def slots(self) -> list[Slot]:
        """Give a slot for each run that it could execute, those in use first."""
        if self.worker.concurrency > MOST_SLOTS or not self.is_alive:
            return []
        used = [Slot(run) for run in self.worker.active]
        return used + [Slot(None)] * (self.worker.concurrency - len(used))

    @property
    def memory(self) -> str:
        """Give its memory in words."""
        size = self.worker.memory_bytes
        return "\N{EN DASH}" if size is None else f"{size / 1024**2:,.0f} MiB"

    @property
    def load(self) -> str:
        """Give the load of its host."""
        return " · ".join(f"{number:.2f}" for number in self.worker.load) or "\N{EN DASH}"

    @property
    def started_at(self) -> datetime:
        """Give when it began."""
        return self.worker.started_at


def queue_views(queues: Sequence[Queue]) -> list[QueueView]:
    """Give a view of each queue."""
    longest = max((queue.ready or 0 for queue in queues), default=0)
    return [QueueView(queue, longest) for queue in queues]


def worker_views(workers: Sequence[Worker]) -> list[WorkerView]:
    """Give a view of each worker, those that are alive first."""
    return sorted(map(WorkerView, workers), key=lambda view: not view.is_alive)


def missing_parts(queues: Sequence[Queue]) -> Iterator[str]:
    """Name what is away, so that what is not known is no riddle."""
    if any(queue.ready is None for queue in queues):
        yield "The broker is away, so nobody can tell what waits."
    if any(queue.paused is None for queue in queues):
        yield "Redis is away, so nobody can tell what workers do and which queues are paused."
