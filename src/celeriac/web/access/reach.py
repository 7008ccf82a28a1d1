"""Whether what somebody asks for is within the tasks and queues that they are limited to."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import request

from celeriac.access import Identity
from celeriac.access.errors import ForbiddenError
from celeriac.web.context import runs

Check = Callable[[Identity], None]
API: Final = "api"
"""The blueprint whose views read JSON; those of the others read forms."""


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
    _need_queues(who, name, _asked_queues() or [""])


def _check_run(who: Identity) -> None:
    run = runs().get(_named("run_id"))
    _need(who, task=run.task or "", queue=run.queue or "")
    _need_queues(who, run.task or "", _asked_queues())


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


def _need_queues(who: Identity, task: str, asked: Iterable[str]) -> None:
    """Check each queue that was asked for; an empty one is the task's own."""
    for queue in asked:
        _need(who, queue=queue or runs().catalog.get(task).queue or "")


def _named(key: str) -> str:
    return str((request.view_args or {})[key])


def _asked_queues() -> list[str]:
    """Give each queue that the request names, from where its view reads them."""
    if request.blueprint == API:
        body: Any = request.get_json(silent=True)
        options = body.get("options") if isinstance(body, dict) else None
        if not isinstance(options, dict) or "queue" not in options:
            return []
        named = options["queue"]
        return [named if isinstance(named, str) else ""]
    request.get_data()  # So that a view can still pass the form on as it came.
    return request.form.getlist("options.queue")
