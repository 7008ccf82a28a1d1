"""The handler that takes lines, as the versions of Python call it."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery._state import _task_stack

from celeriac import log_capture
from celeriac.events import Event
from celeriac.log_buffer import LogBuffer
from celeriac.log_capture import TaskLogHandler


@pytest.fixture
def task() -> Iterator[Any]:
    """Let a task execute in this thread."""
    task = SimpleNamespace(
        app=Celery("logging", set_as_current=False),
        request=_Request(),
    )
    _task_stack.push(task)
    yield task
    _task_stack.pop()


class _Request:
    id, hostname, retries, called_directly = "run", "w@host", 0, False


def test_line_is_taken_by_the_handler_as_logging_calls_it(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Event] = []
    buffer = LogBuffer(written.extend, lambda: True, 10)
    monkeypatch.setitem(log_capture._buffers, task.app, buffer)
    logger = logging.Logger("shop")
    logger.addHandler(TaskLogHandler())

    logger.warning("sold out")

    (line,) = buffer.ending(task.request) or written
    assert line.data["text"] == "sold out"


def test_handler_can_be_locked_as_later_versions_of_python_do() -> None:
    handler = TaskLogHandler()

    # From 3.13 on `Handler.handle` and others say `with self.lock` without looking.
    assert handler.lock is not None
    with handler.lock:
        handler.handle(logging.makeLogRecord({"msg": "nobody executes"}))


def test_line_that_a_filter_refuses_is_not_taken() -> None:
    handler = TaskLogHandler()
    taken: list[logging.LogRecord] = []
    handler.emit = taken.append  # type: ignore[method-assign]
    handler.addFilter(lambda record: record.msg != "no")

    answers = [handler.handle(logging.makeLogRecord({"msg": text})) for text in ("no", "yes")]

    assert (answers, [record.msg for record in taken]) == ([False, True], ["yes"])
