"""Names, results and errors that try to steer the terminal they are printed in."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from rich.console import Console

from celeriac.catalog import TaskSpec
from celeriac.cli import bulk, catalog, doctor, queues, show, tail_all, tail_one, workers
from celeriac.cli import main as run_command
from celeriac.cli.plain import harmless, one_line, plain
from celeriac.cli.top_view import screen
from celeriac.errors import UnknownTaskError
from celeriac.events import Event, EventKind
from celeriac.fleet.record import Versions, Worker, WorkerState
from celeriac.lag import RecorderLag
from celeriac.runs import (
    USUAL_SPAN,
    BulkProgress,
    Failure,
    Glance,
    LogLine,
    Part,
    Progress,
    Queue,
    Run,
    RunError,
    Runs,
    RunState,
)
from celeriac.runs.bulk_progress import BulkProblem
from celeriac.runs.overview import Running

STEER = "evil\x1b]0;renamed\x07\x1b[2J\x9b31m\r\x08\u202e\ud800[red]"
HARM = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NOW = datetime.now(UTC)

ENDED = Run(
    id=STEER, task=STEER, state=RunState.FAILURE, args={"a": STEER}, queue=STEER, worker=STEER,
    error=RunError(type=STEER, message=STEER, traceback=STEER), submitted_at=NOW, finished_at=NOW,
    progress=Progress(current=1, total=2, message=STEER),
)  # fmt: skip
DONE = ENDED.model_copy(update={"state": RunState.SUCCESS, "error": None, "result": STEER})
RUNNING = ENDED.model_copy(update={"state": RunState.STARTED, "error": None, "started_at": NOW})
DATA = {
    "task": STEER, "queue": STEER, "worker": STEER, "attempt": 1, "level": STEER, "text": STEER,
    "current": 1, "total": 2, "message": STEER, "error": {"type": STEER, "message": STEER},
}  # fmt: skip
EVENTS = [Event(STEER, kind, NOW, DATA, "1-0") for kind in EventKind]
QUEUE = Queue(name=STEER, ready=1, consumers=0)
WORKER = Worker(
    name=STEER, state=WorkerState.ONLINE, connected=True, heartbeat_at=NOW, started_at=NOW,
    hostname=STEER, pid=1, pool=STEER, concurrency=1, can_resize=True, queues=[STEER],
    paused=[STEER], versions=Versions(celery="5", celeriac="1", python="3"),
)  # fmt: skip
FAILURE = Failure(
    fingerprint="f", count=1, first_seen_at=NOW, last_seen_at=NOW, sample_id=STEER,
    task=STEER, error_type=STEER, error_message=STEER,
)  # fmt: skip
PROGRESS = BulkProgress(
    matched=1,
    capped=False,
    failed=1,
    stopped=STEER,
    problems=[BulkProblem(run=STEER, detail=STEER)],
)


def _glance(**parts: Part[Any]) -> Glance:
    missing: Part[Any] = Part(problem=STEER)
    names = ("stats", "before", "running", "failures", "queues", "workers", "lag")
    since, until = USUAL_SPAN.bounds(NOW)
    return Glance(
        span=USUAL_SPAN, since=since, until=until, **{name: missing for name in names} | parts
    )


FULL = _glance(
    running=Part(Running((RUNNING,), 1, is_capped=False)), failures=Part([FAILURE]),
    queues=Part([QUEUE]), workers=Part([WORKER]),
    lag=Part(RecorderLag(3, 0.1, NOW, is_running=True)),
)  # fmt: skip


class FakeRuns:
    """Has one task, whose author is up to no good."""

    @classmethod
    def of(cls, _: object) -> "FakeRuns":
        return cls()

    @property
    def catalog(self) -> "FakeRuns":
        return self

    @property
    def tasks(self) -> list[TaskSpec]:
        schema = {"properties": {STEER: {}}, "required": [STEER]}
        words = dict.fromkeys(("name", "queue", "summary", "warning"), STEER)
        fields = {"schema": schema, **words}
        return [cast(TaskSpec, type("Spec", (), fields))]

    def watch(self, _: str) -> list[Run]:
        return [RUNNING, DONE]


def _follow_bulk() -> None:
    with pytest.raises(Exception, match="1"):
        bulk.follow(iter([PROGRESS]), "Cancelled", as_json=False)


def _tail_one() -> None:
    printer = tail_one._Printer()
    line = LogLine(id="1-0", at=NOW, level=STEER, logger=STEER, text=STEER, attempt=1)
    for news in (line, *EVENTS, ENDED, DONE, RUNNING):
        printer.show(news)


def _tail_all() -> None:
    for happened in tail_all.Follower(tail_all.Wanted()).taken(EVENTS):
        Console(soft_wrap=True).print(tail_all.line(happened))
        print(tail_all.as_json(happened.event))


def _doctor() -> None:
    with pytest.raises(Exception, match="1"):
        doctor.doctor()


def _failing_command() -> None:
    with pytest.raises(SystemExit):
        run_command()


PRINTERS: dict[str, Callable[[], None]] = {
    "run show": lambda: [show.run(each, as_json=False) for each in (ENDED, DONE, RUNNING)] and None,
    "runs list": lambda: show.run_list([ENDED, DONE], as_json=False),
    "submit --wait": lambda: show.submitted(cast(Runs, FakeRuns()), DONE, wait=True, as_json=False),
    "runs cancel": _follow_bulk,
    "run tail": _tail_one,
    "runs tail": _tail_all,
    "top": lambda: [Console().print(screen(g, 140, None)) for g in (FULL, _glance())] and None,
    "queues list": lambda: Console().print(queues._table([QUEUE])),
    "workers list": lambda: Console().print(workers._table([WORKER])),
    "tasks": lambda: catalog.tasks(as_json=False),
    "doctor": _doctor,
    "a command that fails": _failing_command,
}


@pytest.fixture(autouse=True)
def _foreign_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the words of others wherever printers get theirs from."""

    def fail() -> None:
        raise UnknownTaskError(STEER)

    monkeypatch.setattr("celeriac.runs.Runs", FakeRuns)
    monkeypatch.setattr("celeriac.cli.app", fail)
    found = [doctor.Finding("worker", "problem", STEER)]
    monkeypatch.setattr("celeriac.cli.doctor._findings", lambda: iter(found))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.mark.parametrize("name", PRINTERS)
def test_printer_lets_nobody_steer_the_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    PRINTERS[name]()

    printed = "".join(capsys.readouterr())
    assert "evil" in printed
    assert HARM.findall(printed) == []


def test_result_goes_to_programs_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    coloured = DONE.model_copy(update={"result": "\x1b[32mgreen\ud800"})

    show.submitted(cast(Runs, FakeRunsOf(coloured)), coloured, wait=True, as_json=False)

    assert capsys.readouterr().out == "\x1b[32mgreen?\n"


class FakeRunsOf:
    """Has one run, that has ended."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def watch(self, _: str) -> list[Run]:
        return [self._run]


def test_words_keep_their_lines_and_letters() -> None:
    assert harmless("größe\r\n\tzwei 日本") == "größe\n\tzwei 日本"
    assert one_line("a\n b\tc") == "a b c"
    assert str(plain("[b]bold[/b]")) == "[b]bold[/b]"
