"""Tasks for tests of the broker's side; a worker imports them with `CELERIAC_TASKS`."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject


def _note(path: str) -> int:
    """Note an execution where a killed process cannot take it back; gives how many there were."""
    with Path(path).open("a") as file:
        file.write(f"{time.time()}\n")
    return len(Path(path).read_text().splitlines())


@shared_task(name="probe.note")
def note(path: str) -> int:
    """Note that it was executed."""
    return _note(path)


@shared_task(name="probe.retry", bind=True, max_retries=5)
def retry(self: "Task[Any, Any]", path: str, times: int, countdown: float) -> str:
    """Ask for another attempt some times, then tell which queue each came from."""
    _note(path)
    if self.request.retries < times:
        raise self.retry(countdown=countdown)
    return str((self.request.delivery_info or {}).get("routing_key"))


@shared_task(name="probe.wait_between", bind=True)
def wait_between(self: "Task[Any, Any]", countdown: float, since_s: float | None = None) -> float:
    """Ask for a second attempt that must not expire, then tell how long it took to come."""
    now_s = time.monotonic()  # It goes by no clock, and is the same in every process.
    if since_s is None:
        again = {"countdown": countdown, "since_s": now_s}
        raise self.retry(args=(), kwargs=again, countdown=countdown, expires=600)
    return now_s - since_s


@shared_task(name="probe.kill_child")
def kill_child(path: str) -> None:
    """Kill the process that executes it, each time."""
    _note(path)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="probe.kill_child_once")
def kill_child_once(path: str) -> None:
    """Kill the process that executes it first."""
    if _note(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="probe.kill_worker")
def kill_worker(path: str) -> None:
    """Kill the whole worker, each time."""
    _note(path)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="probe.reject")
def reject() -> None:
    """Refuse to be executed, for good."""
    raise Reject("not for me", requeue=False)


@shared_task(name="probe.reject_at_first")
def reject_at_first(path: str) -> int:
    """Refuse the first execution for good, then be executed."""
    if _note(path) == 1:
        raise Reject("not yet", requeue=False)
    return 1


@shared_task(name="probe.die_until_open")
def die_until_open(gate: str, done: str) -> str:
    """Kill its process until there is a gate, then wait until it is done."""
    if not Path(gate).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    while not Path(done).exists():
        time.sleep(0.05)
    return "open"
