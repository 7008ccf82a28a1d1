"""Tasks that log in every way that Celery's users know, for the tests of what becomes of it."""

import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from celery import Task, chain, chord, shared_task
from celery.result import AsyncResult
from celery.utils.log import get_task_logger

task_logger = get_task_logger(__name__)
logger = logging.getLogger("shop.orders")


@shared_task(name="chatty.every_way")
def every_way() -> None:
    """Log by the task logger, by a plain one, by printing, with an error, and as Celery would."""
    task_logger.info("by the task logger")
    logger.warning("by a plain logger: %s", "añ👩 <b>")
    logger.debug("below the worker's level")
    print("printed")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("with an error")
    logging.getLogger("celery.app.trace").error("Celery's own")
    logging.getLogger("kombu").error("kombu's own")


@shared_task(name="chatty.printing")
def printing() -> None:
    """Print in pieces, several lines at once, and a line that never ends."""
    print("row", 7, "of", 9)
    print("first\nsecond")
    print()
    print("dot", end="")
    print("ted")
    print("on the other stream", 1, file=sys.stderr)
    print("without an end", end="")


@shared_task(name="chatty.many")
def many(lines: int, text: str = "line") -> int:
    """Log many lines."""
    for number in range(lines):
        logger.info("%s %d", text, number)
    return lines


@shared_task(name="chatty.until", bind=True)
def until(self: "Task[Any, Any]", path: str) -> None:
    """Log a line, then wait for a file to appear, and log another."""
    logger.info("waiting for %s", Path(path).name)
    gone = threading.Event()
    while not Path(path).exists():
        gone.wait(0.02)
    logger.info("found it")


@shared_task(name="chatty.retried", bind=True, max_retries=1, default_retry_delay=0)
def retried(self: "Task[Any, Any]", countdown: int = 0) -> None:
    """Fail once, and log in both attempts."""
    logger.info("attempt %d", self.request.retries + 1)
    if not self.request.retries:
        raise self.retry(exc=ValueError("not yet"), countdown=countdown)


@shared_task(name="chatty.odd")
def odd() -> str:
    """Log what cannot be formatted, what is very long, and what JSON cannot say."""

    class Nasty:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raising = logging.raiseExceptions
    logging.raiseExceptions = False  # The standard handlers would print a traceback.
    try:
        logger.info("%s", Nasty())
        logger.info("wrong %d", "number")
    finally:
        logging.raiseExceptions = raising
    logger.info("x" * 20_000)
    logger.info("half a pair \ud800 and NUL \0")
    warnings.warn("a warning", stacklevel=1)
    print("to standard error", file=sys.stderr)
    return "done"


@shared_task(name="chatty.nested")
def nested() -> None:
    """Call another task's function, as plain Python does."""
    many(1, "of the inner function")


@shared_task(name="chatty.family", bind=True)
def family(self: "Task[Any, Any]", children: int) -> None:
    """Start other runs."""
    for number in range(children):
        many.delay(1, f"child {number}")


@shared_task(name="chatty.ignored", ignore_result=True)
def ignored() -> None:
    """Log where nobody wants the result."""
    logger.info("all the same")


@shared_task(name="chatty.failing")
def failing() -> None:
    """Log, then fail."""
    logger.info("still well")
    raise ValueError("no luck")


@shared_task(name="chatty.steadily")
def steadily(path: str) -> int:
    """Log a line now and then until a file appears."""
    pause = threading.Event()
    number = 0
    while not Path(path).exists():
        logger.info("steady line %d", number)
        number += 1
        pause.wait(0.05)
    return number


@shared_task(name="chatty.chained")
def chained(path: str) -> str:
    """Start a chain whose first run waits for a file; gives the first one's identifier."""
    links = chain(until.si(path), many.si(1, "second"))
    first = links.delay().parent
    assert isinstance(first, AsyncResult)
    return first.id


@shared_task(name="chatty.chorded")
def chorded() -> str:
    """Start a chord whose header fails; gives the callback's identifier."""
    identifier: str = chord([failing.si(), failing.si()])(many.si(1, "callback")).id
    return identifier


@shared_task(name="chatty.poison")
def poison(gate: str) -> str:
    """Kill the process that executes it, until there is a gate."""
    if not Path(gate).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return "open"
