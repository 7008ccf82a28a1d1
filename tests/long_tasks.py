"""Tasks that take as long as a test lets them; a worker imports them with `CELERIAC_TASKS`."""

import os
import time
from pathlib import Path

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded


def _note(path: str, word: object = "executed") -> None:
    with Path(path).open("a") as file:
        file.write(f"{word}\n")


def _wait(told: str) -> None:
    while not Path(told).exists():
        time.sleep(0.02)


@shared_task(name="long.until")
def until(path: str, told: str, before: object = None) -> str:
    """Note that it is executed, wait for a file to appear, and give its name."""
    _note(path)
    _wait(told)
    return Path(path).name


@shared_task(name="long.gather")
def gather(parts: list[str], path: str) -> list[str]:
    """Give what the runs before gave."""
    _note(path)
    return parts


@shared_task(name="long.soft", soft_time_limit=4)
def soft(path: str) -> str:
    """Wait for ever, and clean up when it has been too long."""
    try:
        _wait("/nowhere/at/all")
    except SoftTimeLimitExceeded:
        _note(path, "cleaned up")
        raise
    return "never"


@shared_task(name="long.process")
def process(path: str) -> int:
    """Tell which process executes it."""
    _note(path)
    return os.getpid()
