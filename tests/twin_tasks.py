"""Tasks that come twice, as a plain function and as a coroutine, and must not differ otherwise."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

logger = logging.getLogger("shop.twins")
OPTIONS: dict[str, Any] = {"bind": True, "max_retries": 2}


def act(task: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what this attempt is told to do: a word, and a value."""
    word, value = steps[min(task.request.retries, len(steps) - 1)]
    logger.info("attempt %d: %s", task.request.retries + 1, word)
    if word == "progress":
        task.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
    if word == "retry":
        raise task.retry(exc=ValueError(str(value)), countdown=0)
    if error := {
        "raise": ValueError(str(value)),
        "ignore": Ignore(),
        "connect": OSError("away"),
    }.get(word):
        raise error
    if word == "reject":
        raise Reject(str(value), requeue=False)
    return value


@shared_task(name="twins.plain", **OPTIONS)
def plain(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to."""
    return act(self, steps)


class Watched(Task):  # type: ignore[type-arg]
    """Has a hook that may look at what is stored of the run's end."""

    def after_return(self, *args: Any, **kwargs: Any) -> None:
        """Be there: what is told of the run is told at once."""


@shared_task(name="twins.watched", base=Watched, **OPTIONS)
def watched(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to, in no bundle with others."""
    return act(self, steps)


@shared_task(name="twins.awaited", **OPTIONS)
async def awaited(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to, and let others go on meanwhile."""
    await asyncio.sleep(0)
    return act(self, steps)


AGAIN: dict[str, Any] = {"autoretry_for": (OSError,), "default_retry_delay": 0}


@shared_task(name="twins.plain_again", **OPTIONS, **AGAIN)
def plain_again(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to; Celery tries again by itself."""
    return act(self, steps)


@shared_task(name="twins.awaited_again", **OPTIONS, **AGAIN)
async def awaited_again(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to; Celery tries again by itself."""
    await asyncio.sleep(0)
    return act(self, steps)


@shared_task(name="twins.plain_silent", ignore_result=True, **OPTIONS)
def plain_silent(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to; nobody wants the result."""
    return act(self, steps)


@shared_task(name="twins.awaited_silent", ignore_result=True, **OPTIONS)
async def awaited_silent(self: "Task[Any, Any]", steps: list[list[Any]]) -> Any:
    """Do what it is told to; nobody wants the result."""
    await asyncio.sleep(0)
    return act(self, steps)


@shared_task(name="twins.who", bind=True)
async def who(self: "Task[Any, Any]", rounds: int = 20) -> list[str]:
    """Tell who it is, time and again, while others do the same on the same loop."""
    seen = {self.request.id}
    for _ in range(rounds):
        await asyncio.sleep(0.01)
        seen.add(self.request.id)
    return sorted(str(each) for each in seen)


@shared_task(name="twins.sleeps")
async def sleeps(seconds: float) -> str:
    """Wait, and let others go on meanwhile."""
    await asyncio.sleep(seconds)
    return "slept"


@shared_task(name="twins.hurries", soft_time_limit=1)
async def hurries() -> str:
    """Take too long, and notice."""
    try:
        await asyncio.sleep(60)
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)
        return "cleaned up"
    return "slept"


@shared_task(name="twins.too_late", time_limit=1)
async def too_late() -> None:
    """Take too long."""
    await asyncio.sleep(60)


@shared_task(name="twins.cancels")
async def cancels() -> None:
    """Cancel itself, as a library may do."""
    raise asyncio.CancelledError


@shared_task(name="twins.leaves")
async def leaves() -> None:
    """Do what would end the process of a plain script."""
    raise SystemExit(3)


@shared_task(name="twins.adds")
async def adds(a: int, b: int) -> int:
    """Add."""
    await asyncio.sleep(0)
    return a + b


@shared_task(name="twins.sums")
async def sums(parts: list[int]) -> int:
    """Add what the runs of a chord gave."""
    await asyncio.sleep(0)
    return sum(parts)


@shared_task(name="twins.calls")
async def calls() -> int:
    """Call another coroutine task as a function."""
    return int(await adds(1, 2))


@shared_task(name="twins.blocks")
def blocks(seconds: float) -> str:
    """Keep its thread."""
    time.sleep(seconds)
    return "slept"


@shared_task(name="twins.awaits_file")
def awaits_file(path: str) -> str:
    """Keep its thread until there is such a file."""
    while not Path(path).exists():
        time.sleep(0.01)
    return "found"
