"""What tasks log while they execute, as events of kind `log`.

A handler on the loggers that Celery sets up in a worker takes each line for the run that executes
in the current thread: those of any `logging` logger, of `get_task_logger`, and what is printed,
which Celery redirects to a logger. What Celery and the libraries beneath it say is none of a run's.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from celery._state import get_current_worker_task
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    celeryd_after_setup,
    worker_process_shutdown,
    worker_shutdown,
)

from celeriac.events import Event
from celeriac.log_buffer import LogBuffer, Write
from celeriac.printing import finish_lines, print_whole_lines

LONGEST_LINE = 8_000
"""Characters of one line that are kept."""
PRINTED = "celery.redirected"
TASKS = "celery.task"
CHATTER = frozenset({"amqp", "billiard", "celery", "kombu", "multiprocessing", "redis", "vine"})
"""Packages whose own lines are left out; writing lines makes some of them log."""
PATIENCE_S = 0.5

_buffers: WeakKeyDictionary[Celery, LogBuffer] = WeakKeyDictionary()


def capture_logs(app: Celery, write: Write, has_room: Callable[[], bool], most_lines: int) -> None:
    """Take what the app's tasks log in a worker, at most so many lines of an attempt."""
    _buffers[app] = LogBuffer(write, has_room, most_lines)
    print_whole_lines(app)
    after_setup_logger.connect(_attach)
    after_setup_task_logger.connect(_attach)
    # A team that sets logging up by itself (`setup_logging`) keeps Celery from telling of it.
    celeryd_after_setup.connect(_attach_to_root)
    worker_process_shutdown.connect(_drain)
    worker_shutdown.connect(_drain)


def lines_of_ending(app: Celery, request: Any) -> list[Event]:
    """Give the lines of an attempt that must be written before its end."""
    buffer = _buffers.get(app)
    if buffer is None or request is None:
        return []
    finish_lines()
    return buffer.ending(request)


class TaskLogHandler(logging.Handler):
    """Takes lines that are logged while a task executes; never raises and never waits."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take no lock: the buffer has its own, and formatting needs none."""
        is_wanted = bool(self.filter(record))
        if is_wanted:
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, unless nothing executes here or it is a library's own."""
        try:
            task = get_current_worker_task()
            if task is None or _is_chatter(record.name) or hasattr(record, "celeriac_taken"):
                return
            record.celeriac_taken = True  # The same record may come by two loggers.
            if buffer := _buffers.get(task.app):
                buffer.add(task.request, lambda: self._line(record))
        except Exception:  # noqa: S110 - A line is lost; the task and its other lines go on.
            pass

    def _line(self, record: logging.LogRecord) -> tuple[datetime, dict[str, Any]]:
        # What is printed has no level of its own; Celery gives it WARNING.
        level = "INFO" if record.name == PRINTED else record.levelname
        data = {"level": level, "logger": record.name, "text": _cut(self.format(record))}
        return datetime.fromtimestamp(record.created, UTC), data


_handler = TaskLogHandler()


def _attach(logger: logging.Logger, **_: Any) -> None:
    if _handler not in logger.handlers:
        logger.addHandler(_handler)


def _attach_to_root(**_: Any) -> None:
    _attach(logging.getLogger())
    tasks = logging.getLogger(TASKS)
    if not tasks.propagate:
        _attach(tasks)


def _drain(**_: Any) -> None:
    for buffer in list(_buffers.values()):
        buffer.drain(PATIENCE_S)


def _is_chatter(name: str) -> bool:
    return name.partition(".")[0] in CHATTER and name != PRINTED and not _is_of_task(name)


def _is_of_task(name: str) -> bool:
    return name == TASKS or name.startswith(f"{TASKS}.")


def _cut(text: str) -> str:
    if len(text) <= LONGEST_LINE:
        return text
    return f"{text[:LONGEST_LINE]}… ({len(text) - LONGEST_LINE:,} more characters)"
