"""Tasks whose every execution leaves a file, outside the system that is being broken."""

import os
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Task, shared_task


@shared_task(bind=True, name="fault.note")
def note(
    self: "Task[Any, Any]", folder: str, number: int, work_s: float = 0, retry_s: float = 0
) -> int:
    """Leave a file that tells of this execution, then work for a while.

    With `retry_s` it does so in a second attempt, which it asks for.
    """
    if retry_s and not self.request.retries:
        raise self.retry(countdown=retry_s)
    _leave_a_file(folder, number, self.request.id)
    time.sleep(work_s)
    return number


@shared_task(bind=True, name="fault.poison")
def poison(self: "Task[Any, Any]", folder: str, number: int) -> None:
    """Leave a file too, then kill the process that executes it, each time."""
    _leave_a_file(folder, number, self.request.id)
    os.kill(os.getpid(), signal.SIGKILL)


def _leave_a_file(folder: str, number: int, run_id: str | None) -> None:
    Path(folder, f"{number}.{run_id}.{os.getpid()}.{uuid4().hex}").open("x").close()
