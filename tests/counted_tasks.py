"""Tasks that write down each time they are executed, so that a test can count."""

import os
import time
from pathlib import Path

from celery import Task, shared_task

from executions import COUNTED_IN


@shared_task(bind=True, name="counted.reverse")
def reverse(self: Task, text: str, pause_s: float = 0.0) -> str:  # type: ignore[type-arg]
    """Turn a text around, after a pause."""
    # One short write to a file that is opened for appending is never mixed with another.
    with Path(os.environ[COUNTED_IN]).open("ab", buffering=0) as file:
        file.write(f"{self.request.id}\n".encode())
    time.sleep(pause_s)
    return text[::-1]
