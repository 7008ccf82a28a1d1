"""What a worker does where an attempt starts, and where it ends by `Ignore`.

Celery calls `before_start` of a task inside the block that obeys `Ignore`: raised there, the
message is acknowledged and the run is not executed. So each task's own is wrapped by one that first
asks whether the run may start. Storing STARTED has asked already, in the same round trip.
"""

from inspect import getattr_static
from typing import Any

from celery import Celery, Task, states
from celery.exceptions import Ignore, Reject, TaskRevokedError
from celery.signals import task_postrun, task_retry

from celeriac.backend import REVOKED_REASON, RunBackend
from celeriac.changes import Verdict
from celeriac.errors import DeadLetterError
from celeriac.worker_events import is_ignored

IGNORED_REASON = "ignored by its task"
SUCCEEDED_REASON = "succeeded before"
_REPLACED = ("Replaced by new task",)
"""What `Task.replace` raises: the run goes on, as another task."""
_POISON = "Its worker died each of the {times} times that it started."
_GUARDED = "celeriac_guarded"
_PASSED = "celeriac_passed"


class NotStartedError(Ignore):
    """The run was cancelled, or has succeeded before; Celery drops its message."""


def guard_starts(app: Celery) -> None:
    """Have every task of a worker's app ask before it starts, and tell how it was ignored."""
    for task in app.tasks.values():
        _guard(type(task))
    task_postrun.connect(_tell_of_ignoring)
    task_retry.connect(_tell_of_retry)


def _guard(task_class: Any) -> None:
    if _GUARDED in task_class.__dict__:
        return
    own = getattr_static(task_class, "before_start")

    def before_start(self: Any, task_id: str, args: Any, kwargs: Any) -> None:
        _ask(self, task_id)
        own.__get__(self, type(self))(task_id, args, kwargs)

    task_class.before_start = before_start
    if task_class.Request == Task.Request:
        task_class.Request = "celeriac.request:RunRequest"
    setattr(task_class, _GUARDED, True)


def _ask(task: Any, task_id: str) -> None:
    """Raise NotStartedError unless the run may start; a class and its base may both ask."""
    request, backend = task.request_stack.top, task.backend
    if not isinstance(backend, RunBackend) or request.is_eager or hasattr(request, _PASSED):
        return
    match backend.start(task_id, request):
        case Verdict.CANCELLED:
            # Most often the canceller has written it. A chord needs to be told in any case.
            backend.mark_as_revoked(task_id, REVOKED_REASON, request, not is_ignored(request))
            raise NotStartedError(REVOKED_REASON)
        case Verdict.FINISHED:
            # Its worker died before the broker heard of the success, or its message came twice.
            backend.count_in_chord(task_id, request)
            raise NotStartedError(SUCCEEDED_REASON)
        case Verdict.DEAD:
            limit = backend.app.conf.celeriac_delivery_limit
            error = DeadLetterError(_POISON.format(times=limit + 1))
            backend.mark_as_dead(task_id, error, request)
            raise Reject(error, requeue=False)
    setattr(request, _PASSED, True)


def _tell_of_ignoring(
    sender: Any, task_id: str, state: str | None = None, retval: Any = None, **_: Any
) -> None:
    """Give a run an end whose task raised `Ignore`, unless it goes on or has one already."""
    if state != states.IGNORED or isinstance(retval, NotStartedError) or retval.args == _REPLACED:
        return
    if isinstance(sender.backend, RunBackend):
        error = TaskRevokedError(IGNORED_REASON)
        sender.backend.tell(task_id, states.REVOKED, sender.request_stack.top, error)


def _tell_of_retry(sender: Any, request: Any, reason: Any, einfo: Any = None, **_: Any) -> None:
    """Tell that a run is tried again of which Celery stores nothing: its result is ignored."""
    stored = not is_ignored(request) or sender.store_errors_even_if_ignored
    if isinstance(sender.backend, RunBackend) and not stored:
        traceback = einfo.traceback if einfo else None
        sender.backend.tell(request.id, states.RETRY, request, reason.exc, traceback)
