"""Tasks that leave a trace when they execute, for the tests of what a cancel and `Ignore` do."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task, shared_task
from celery._state import connect_on_app_finalize
from celery.exceptions import Ignore, Reject


def _leave(path: str, word: str = "executed") -> None:
    with Path(path).open("a") as trace:
        trace.write(f"{word}\n")


class Deadly(Task):  # type: ignore[type-arg]
    """A base class that kills its worker between the stored success and its acknowledgement."""

    def after_return(self, *_: Any) -> None:
        """Kill the worker's main process, as when a machine loses its power."""
        os.kill(os.getppid(), signal.SIGKILL)


class Prepared(Task):  # type: ignore[type-arg]
    """Somebody's base class, which does something of its own before each start."""

    def before_start(self, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """Leave a trace."""
        _leave(kwargs["path"], "prepared")


class TwicePrepared(Prepared):
    """A task made of a class, whose base has been registered too."""

    name = "cancel.twice_prepared"

    def before_start(self, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """Leave a trace, and do what the base does."""
        super().before_start(task_id, args, kwargs)
        _leave(kwargs["path"], "prepared again")

    def run(self, path: str) -> None:
        """Leave a trace."""
        _leave(path)


@shared_task(name="cancel.plain")
def plain(path: str) -> None:
    """Leave a trace."""
    _leave(path)


@shared_task(name="cancel.prepared", base=Prepared)
def prepared(path: str) -> None:
    """Leave a trace, after that of the base class."""
    _leave(path)


@shared_task(name="cancel.deadly", base=Deadly)
def deadly(path: str) -> str:
    """Leave a trace; the worker dies when the result has been stored."""
    _leave(path)
    return "done"


@shared_task(name="cancel.deadly_ignored", base=Deadly, ignore_result=True)
def deadly_ignored(path: str) -> str:
    """Leave a trace; the worker dies when the end has been told."""
    _leave(path)
    return "done"


@shared_task(name="cancel.gather")
def gather(parts: list[str], path: str) -> list[str]:
    """Leave a trace, and give what the runs of a chord gave."""
    _leave(path)
    return parts


@shared_task(name="cancel.applies")
def applies(path: str) -> str:
    """Call another task as if it were a run, in this process."""
    return str(plain.apply((path,), task_id="eager").state)


@shared_task(name="cancel.ignored", ignore_result=True)
def ignored(path: str) -> None:
    """Leave a trace; nobody wants the result."""
    _leave(path)


@shared_task(name="cancel.untracked", track_started=False)
def untracked(path: str) -> None:
    """Leave a trace; Celery does not store that it started."""
    _leave(path)


@shared_task(name="cancel.said")
def said(path: str, text: str) -> None:
    """Leave a trace that tells how long a text is."""
    _leave(path, str(len(text)))


@shared_task(name="cancel.long")
def long(path: str, seconds: float = 60) -> None:
    """Leave a trace, and take long."""
    _leave(path)
    time.sleep(seconds)


@shared_task(name="cancel.fails_when_told")
def fails_when_told(path: str, told: str) -> None:
    """Leave a trace, wait for a file to appear, and fail."""
    _leave(path)
    while not Path(told).exists():
        time.sleep(0.05)
    raise ValueError("told to")


@shared_task(name="cancel.retried", bind=True, max_retries=None)
def retried(self: "Task[Any, Any]", path: str, pause_s: float) -> None:
    """Leave a trace, and want another attempt."""
    _leave(path)
    raise self.retry(exc=ValueError("again"), countdown=pause_s)


@shared_task(name="cancel.fails_ignored", bind=True, ignore_result=True, max_retries=1)
def fails_ignored(self: "Task[Any, Any]") -> None:
    """Fail twice, where nobody wants the result."""
    raise self.retry(exc=ValueError("no use"), countdown=0)


@shared_task(name="cancel.shrugs")
def shrugs() -> None:
    """Tell Celery to forget about it."""
    raise Ignore("nothing to do")


@shared_task(name="cancel.shrugs_after", bind=True)
def shrugs_after(self: "Task[Any, Any]", state: str) -> None:
    """Store a state, and tell Celery to leave it at that."""
    error = {"exc_type": "ValueError", "exc_message": ["mine"], "exc_module": "builtins"}
    self.update_state(state=state, meta=error)
    raise Ignore


@shared_task(name="cancel.rejected")
def rejected() -> None:
    """Have the message dropped."""
    raise Reject("not for me", requeue=False)


@shared_task(name="cancel.replaced", bind=True)
def replaced(self: "Task[Any, Any]", path: str) -> None:
    """Go on as another task."""
    self.replace(plain.s(path))


@connect_on_app_finalize
def _register(app: Celery) -> None:
    app.register_task(TwicePrepared())
