"""What tasks log on real workers becomes events, in order, and lines of the history."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from celeriac.events import STREAM, Event, EventKind
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from processes import ChildProcess
from services import Services
from worker_process import CHATTY_ENVIRONMENT, running_worker

MOST_LINES = 20


@pytest.fixture(scope="module", params=["prefork", "threads", "solo", "hybrid"])
def chatty(
    request: pytest.FixtureRequest,
    services: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Chatty"]:
    folder = tmp_path_factory.mktemp("chatty")
    environment = {**CHATTY_ENVIRONMENT, "CELERIAC_LOG_LINES": str(MOST_LINES)}
    options = ("--pool", request.param)
    with running_worker(folder, *services, environment, options) as worker:
        yield Chatty(services, worker, folder)


class Chatty:
    """A worker with the chatty tasks, and what it writes."""

    def __init__(self, services: Services, worker: ChildProcess, folder: Path) -> None:
        settings = load_settings(
            join_stack=False,
            broker_url=services.broker_url,
            redis_url=services.redis_url,
            tasks="chatty_tasks",
            data_dir=folder,
        )
        self.runs = Runs.of(settings)
        self.worker = worker
        self._redis: Any = redis.Redis.from_url(services.redis_url, decode_responses=True)

    def submit(self, task: str, **args: Any) -> str:
        return self.runs.submit(f"chatty.{task}", args, SubmitOptions()).id

    def run(self, task: str, **args: Any) -> list[Event]:
        """Let a task run to its end; gives its events."""
        run_id = self.submit(task, **args)
        events = eventually(lambda: _until_end(self.events(run_id)), deadline_s=30)
        # What tells of the submission may come after what the worker does at once.
        return [event for event in events if event.kind is not EventKind.SUBMITTED]

    def events(self, run_id: str) -> list[Event]:
        entries = self._redis.xrange(STREAM)
        found = (Event.of_entry(entry_id, fields) for entry_id, fields in entries)
        return [event for event in found if event.run_id == run_id]


def _until_end(events: list[Event]) -> list[Event] | None:
    return events if any(event.kind.finishes for event in events) else None


def _lines(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (event.data["level"], event.data["logger"], event.data["text"])
        for event in events
        if event.kind is EventKind.LOG
    ]


def test_whatever_way_a_task_logs_becomes_lines(chatty: Chatty) -> None:
    events = chatty.run("every_way")

    *lines, (level, logger, text) = _lines(events)
    assert lines == [
        ("INFO", "chatty_tasks", "by the task logger"),
        ("WARNING", "shop.orders", "by a plain logger: añ👩 <b>"),
        ("INFO", "celery.redirected", "printed"),
    ]
    assert (level, logger) == ("ERROR", "shop.orders")
    assert text.startswith("with an error\nTraceback (most recent call last):")
    assert text.endswith("ZeroDivisionError: division by zero")


def test_one_print_is_one_line(chatty: Chatty) -> None:
    texts = [text for _, _, text in _lines(chatty.run("printing"))]

    assert texts == [
        "row 7 of 9",
        "first\nsecond",
        "dotted",
        "on the other stream 1",
        "without an end",
    ]


def test_lines_stand_before_the_end_and_name_worker_and_attempt(chatty: Chatty) -> None:
    events = chatty.run("many", lines=3)

    assert [event.kind for event in events[-4:]] == [EventKind.LOG] * 3 + [EventKind.SUCCEEDED]
    assert events[-2].data["worker"] == events[-1].data["worker"]
    assert events[-2].data["attempt"] == 1


def test_lines_are_seen_while_the_run_goes_on(chatty: Chatty, tmp_path: Path) -> None:
    run_id = chatty.submit("until", path=str(tmp_path / "go"))

    eventually(lambda: _lines(chatty.events(run_id)), deadline_s=30)
    assert not _until_end(chatty.events(run_id))
    (tmp_path / "go").touch()

    events = eventually(lambda: _until_end(chatty.events(run_id)), deadline_s=20)
    assert [text for _, _, text in _lines(events)] == ["waiting for go", "found it"]


def test_each_attempt_has_its_lines(chatty: Chatty) -> None:
    run_id = chatty.submit("retried")

    def kinds(attempt: int) -> list[EventKind]:
        return [e.kind for e in chatty.events(run_id) if e.data.get("attempt") == attempt]

    # The next attempt can start, and even end, before the end of the first one is told.
    eventually(lambda: len(kinds(1)) == 3 and len(kinds(2)) == 3, deadline_s=30)
    assert kinds(1) == [EventKind.STARTED, EventKind.LOG, EventKind.RETRY]
    assert kinds(2) == [EventKind.STARTED, EventKind.LOG, EventKind.SUCCEEDED]


def test_task_that_logs_without_end_keeps_to_its_lines(chatty: Chatty) -> None:
    lines = _lines(chatty.run("many", lines=20_000))

    assert len(lines) == MOST_LINES + 1
    assert lines[-1][2].startswith(f"{20_000 - MOST_LINES:,} more lines were left out")


def test_odd_lines_harm_nobody(chatty: Chatty) -> None:
    events = chatty.run("odd")

    texts = [text for _, _, text in _lines(events)]
    assert events[-1].kind is EventKind.SUCCEEDED
    assert texts[0] == "x" * 8000 + "… (12,000 more characters)"
    assert texts[1] == "half a pair \ud800 and NUL \0"
    assert "a warning" in texts[2]
    assert texts[-1] == "to standard error"


def test_function_of_another_task_logs_for_the_run_that_calls_it(chatty: Chatty) -> None:
    assert [text for _, _, text in _lines(chatty.run("nested"))] == ["of the inner function 0"]


def test_run_whose_result_is_ignored_keeps_its_lines(chatty: Chatty) -> None:
    events = chatty.run("ignored")

    assert [event.kind for event in events[-2:]] == [EventKind.LOG, EventKind.SUCCEEDED]


def test_lines_are_kept_apart_that_runs_log_at_once(chatty: Chatty) -> None:
    ids = [chatty.submit("many", lines=10, text=f"of {number}") for number in range(6)]

    for number, run_id in enumerate(ids):
        events = eventually(lambda run_id=run_id: _until_end(chatty.events(run_id)), deadline_s=30)
        texts = [text for _, _, text in _lines(events)]
        assert texts == [f"of {number} {line}" for line in range(10)]
