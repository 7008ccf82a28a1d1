"""Whether what somebody asks for is within the tasks and queues that they are limited to."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from flask import request

from celeriac.access import Identity
from celeriac.access.errors import ForbiddenError
from celeriac.web.context import runs

Check = Callable[[Identity], None]


def check_reach(who: Identity, kind: str) -> None:
    """Check a request of this kind: about a task, a run, a queue, or about more than one of them.

    Raises:
        ForbiddenError: it reaches beyond what they may operate.
        RunNotFoundError, UnknownTaskError, ResultsUnavailableError, HistoryUnavailableError
    """
    if who.is_limited and kind:
        _CHECKS[kind](who)


def _check_task(who: Identity) -> None:
    name = _named("name")
    _need(who, task=name)
    asked = [*_asked_queues()] or [runs().catalog.get(name).queue or ""]
    for queue in asked:
        _need(who, queue=queue)


def _check_run(who: Identity) -> None:
    run = runs().get(_named("run_id"))
    _need(who, task=run.task or "", queue=run.queue or "")
    for queue in _asked_queues():
        _need(who, queue=queue)


def _check_queue(who: Identity) -> None:
    _need(who, queue=_named("name"))
    if any(scope.tasks is not None for scope in who.scopes):
        raise ForbiddenError("A queue holds runs of any task, and yours are limited to some.")


def _refuse(who: Identity) -> None:
    raise ForbiddenError(
        f"This reaches any task and queue, and the rights of {who.name} are limited to some."
    )


_CHECKS: Final[dict[str, Check]] = {
    "task": _check_task,
    "run": _check_run,
    "queue": _check_queue,
    "all": _refuse,
}


def _need(who: Identity, *, task: str | None = None, queue: str | None = None) -> None:
    if task is not None and not who.may_use_task(task):
        raise ForbiddenError(f"The task {task!r} is not among those that {who.name} may use.")
    if queue is not None and not who.may_use_queue(queue):
        raise ForbiddenError(f"The queue {queue!r} is not among those that {who.name} may use.")


def _named(key: str) -> str:
    return str((request.view_args or {})[key])


def _asked_queues() -> Iterator[str]:
    """Give each queue that the request names instead of the task's own."""
    body: Any = request.get_json(silent=True) if request.is_json else None
    options = body.get("options") if isinstance(body, dict) else None
    named = options.get("queue") if isinstance(options, dict) else None
    if isinstance(named, str):
        yield named
    request.get_data()  # So that a view can still pass the form on as it came.
    yield from filter(None, request.form.getlist("options.queue"))
