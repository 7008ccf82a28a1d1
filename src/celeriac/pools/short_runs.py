"""Runs that may be executed with others in a bundle, and which these are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import ReferenceType

from celery import Celery, signals
from celery.app.trace import task_has_custom

from celeriac.telling import Telling


@dataclass(eq=False, slots=True)
class ShortRun:
    """A run that may go in a bundle, as Celery hands it to a pool."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    on_end: Callable[[Any], object]
    on_accept: Callable[[int, float], object]
    takes_s: float = 0.0
    telling: Telling = field(init=False)
    outcome: Any = None

    def __post_init__(self) -> None:
        self.telling = Telling(self.args[1])

    @property
    def id(self) -> str:
        """The run's identifier."""
        return self.telling.run_id

    def keep(self, outcome: Any) -> None:
        """Keep what Celery says of the run's end until it is told."""
        self.outcome = outcome


def may_be_bundled(app: Celery, args: tuple[Any, ...]) -> bool:
    """Tell whether a run may go in a bundle; `args` are those of Celery's call of it.

    What came before may be what its worker has died of, and takes no other with it.
    """
    request = args[2]
    delivery = request.get("delivery_info") or {}
    if delivery.get("redelivered") or request.get("chord"):
        return False
    task = app.tasks[args[0]]
    return bool(task.acks_late) and not _is_watched(task)


def _is_watched(task: Any) -> bool:
    """Tell whether code that is not ours wants to see what is stored when a run has succeeded."""
    postrun = signals.task_postrun.receivers
    is_heard = signals.task_success.receivers or not all(_is_ours(each) for _, each in postrun)
    return bool(is_heard) or _sees_its_end(task)


@cache
def _sees_its_end(task: Any) -> bool:
    return any(task_has_custom(task, hook) for hook in ("on_success", "after_return"))


def _is_ours(receiver: Any) -> bool:
    known = receiver() if isinstance(receiver, ReferenceType) else receiver
    return known is None or known.__module__.startswith("celeriac.")
