"""Each command that changes something leaves one entry in the audit trail, in the user's name."""

import getpass
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import runs as runs_of
from celeriac.access import Access, Entry
from celeriac.cli import app, trail
from celeriac.cli import main as run_command
from celeriac.errors import BrokerUnavailableError, ConfigurationError, ResultsUnavailableError
from celeriac.runs import BulkProgress, LetterProgress, Outcome, Run, RunCount, RunState, backup
from celeriac.runs.batch import LineAnswer
from celeriac.runs.purge import Purged

RUN, NEW = "0199e2a0-0000-7000-8000-000000000001", "0199e2a0-0000-7000-8000-000000000002"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
DONE = BulkProgress(matched=3, capped=False, done=3, finished=True)
GONE = LetterProgress(total=1, seen=1, done=1, finished=True)


class _Runs:
    """As much of the runs as the commands need; each thing that is asked of it can be done."""

    def __init__(self) -> None:
        self.away = False
        self.once = SimpleNamespace(submit=lambda key, *rest: Outcome(self.submit(*rest)))
        self.catalog = self.queues = self.workers = self.bulk = self.dead_letters = self
        self.definitions = self
        self.tasks: list[Any] = []

    def get(self, name: str) -> Any:
        if name == RUN:
            return Run(id=RUN, task="text.reverse", state=RunState.FAILURE, args=["a"])
        return SimpleNamespace(
            name=name, summary="", description="", warning=None, queue="celery_see", schema=SCHEMA,
            ready=2, workers=[], model_dump_json=lambda: "{}",
        )  # fmt: skip

    def submit(self, *_: Any) -> Run:
        if self.away:
            raise BrokerUnavailableError("away")
        return Run(id=NEW, task="text.reverse", state=RunState.PENDING)

    def cancel(self, wanted: Any, **options: Any) -> Any:
        return self.get(RUN) if wanted == RUN else iter([DONE, DONE])

    def resubmit(self, wanted: Any, *_: Any, **__: Any) -> Any:
        return self.submit() if wanted == RUN else iter([DONE, DONE])

    def batch(self, *_: Any) -> Iterator[LineAnswer]:
        yield LineAnswer(1, NEW)
        yield LineAnswer(2, error=BrokerUnavailableError("away"))

    def count(self, *_: Any, **__: Any) -> RunCount:
        return RunCount(3, False)

    count_to_cancel = count_to_resubmit = count

    def pause(self, name: str) -> Any:
        return self.get(name)

    resume = pause

    def purge(self, *_: Any, **__: Any) -> Purged:
        return Purged(purged=2)

    def migrate(self) -> Iterator[tuple[str, int]]:
        yield "celery_see", 2

    def grow(self, *_: Any) -> None: ...

    shrink = shutdown = grow

    def replay(self, *_: Any) -> Iterator[LetterProgress]:
        return iter([GONE, GONE])

    sign = discard = replay

    def prune(self, *_: Any) -> Iterator[int]:
        yield 7


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Runs:
    found = _Runs()
    monkeypatch.setattr(runs_of.Runs, "of", lambda _: found)
    monkeypatch.setattr(runs_of.RunHistory, "of", lambda _: found)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERIAC_BROKER_URL", "redis://localhost/0")
    monkeypatch.setenv("CELERIAC_HISTORY_URL", f"sqlite:///{tmp_path}/history.db")
    return found


def _run(*words: str, stdin: str | None = None) -> Result:
    done = CliRunner().invoke(app, list(words), input=stdin)
    trail.finish()
    return done


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Hold the history's file, for a command that would wait for it for a minute."""
    monkeypatch.setattr(trail, "WAIT_S", 60)
    assert _told(tmp_path) == []
    connection = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()
    trail.finish()


def _told(tmp_path: Path) -> list[Entry]:
    access = Access(f"sqlite:///{tmp_path}/history.db")
    access.prepare()
    found = [*reversed(access.audit.find().entries)]
    access.close()
    return found


CHANGES = {
    "submit text.reverse --text ab": ("run.submit", NEW, {"name": "text.reverse"}),
    "submit text.reverse --text ab --idempotency-key k":
        ("run.submit", NEW, {"name": "text.reverse"}),
    f"run cancel {RUN}": ("run.cancel", RUN, {}),
    f"run cancel {RUN} --foreign": ("run.cancel", RUN, {"foreign": True}),
    f"run resubmit {RUN}": ("run.resubmit", NEW, {"run_id": RUN}),
    "runs cancel --task a --yes":
        ("runs.cancel", "", {"filter": {"task": ["a"]}, "all": False}),
    "runs resubmit --all --yes --rate 2":
        ("runs.resubmit", "", {"filter": {}, "all": True, "rate": 2.0, "again": False}),
    "queues pause fast": ("queue.pause", "fast", {}),
    "queues resume fast": ("queue.resume", "fast", {}),
    "queues purge fast --yes": ("queue.purge", "fast", {"purged": 2}),
    "queues migrate": ("queue.migrate", "", {"queues": ["celery_see"]}),
    "workers grow w --by 2": ("worker.grow", "w", {"by": 2}),
    "workers shrink w": ("worker.shrink", "w", {"by": 1}),
    "workers shutdown w": ("worker.shutdown", "w", {}),
    "dead-letters replay l1 --rate 3": ("letters.replay", "", {"ids": ["l1"], "rate": 3.0}),
    "dead-letters sign l1": ("letters.sign", "", {"ids": ["l1"]}),
    "dead-letters discard --queue fast --yes": ("letters.discard", "", {"queue": "fast"}),
    "history prune --days 3 --yes": ("history.prune", "", {"days": 3, "removed": 7}),
}  # fmt: skip


@pytest.mark.parametrize("words", CHANGES)
def test_command_that_changes_something_leaves_one_entry(words: str, tmp_path: Path) -> None:
    done = _run(*words.split())

    assert done.exit_code == 0, (done.output, done.exception)
    (entry,) = _told(tmp_path)
    assert (entry.action, entry.target, entry.detail) == CHANGES[words]
    assert (entry.actor, entry.means, entry.outcome) == (getpass.getuser(), "cli", "ok")


def test_batch_is_one_entry(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("{}\n{}\n")

    _run("batch", "lines")

    (entry,) = _told(tmp_path)
    assert entry.action == "run.batch"
    assert entry.detail == {"submitted": 1, "refused": 1}


def test_what_was_refused_is_told_and_what_nobody_confirmed_is_not(
    tmp_path: Path, runs: _Runs
) -> None:
    runs.away = True
    _run("submit", "text.reverse", "--text", "ab")
    _run("queues", "purge", "fast", stdin="n\n")
    _run("runs", "cancel", "--all", "--dry-run")

    (entry,) = _told(tmp_path)
    assert (entry.action, entry.target) == ("run.submit", "text.reverse")
    assert entry.outcome == BrokerUnavailableError.code


def _interrupted(*_: Any, **__: Any) -> Iterator[BulkProgress]:
    yield DONE
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("words", "outcome"),
    [("runs cancel --task a --yes", "stopped"), ("dead-letters replay --all", "error")],
)
def test_what_did_not_come_to_its_end_is_told_as_that(
    words: str, outcome: str, tmp_path: Path, runs: _Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = GONE.model_copy(update={"finished": False, "stopped": "away"})
    monkeypatch.setattr(runs, "cancel", _interrupted)
    monkeypatch.setattr(runs, "replay", lambda *_: iter([away, away]))

    done = _run(*words.split())

    assert done.exit_code
    (entry,) = _told(tmp_path)
    assert entry.outcome == outcome


def test_trail_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("CELERIAC_HISTORY_URL", f"sqlite:///{tmp_path}/no-folder/history.db")

    done = _run("queues", "pause", "fast")

    assert done.exit_code == 0
    assert "fast is paused" in done.stdout
    assert "Not in the audit trail" in caplog.text
    assert json.dumps("queue.pause") in caplog.text


def test_restore_leaves_one_entry_once_there_is_a_trail_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(*_: object) -> Iterator[tuple[str, str]]:
        assert not (tmp_path / "history.db").exists()
        yield "history", "7 runs"
        raise ResultsUnavailableError("away")

    monkeypatch.setattr(backup, "restore", restore)

    done = _run("restore", str(tmp_path / "backup.tar.gz"))

    assert done.stdout == "history: 7 runs\n"
    (entry,) = _told(tmp_path)
    assert (entry.action, entry.target) == ("backup.restore", "backup.tar.gz")
    assert entry.outcome == ResultsUnavailableError.code


def test_restore_that_changed_nothing_makes_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(*_: object) -> Iterator[tuple[str, str]]:
        raise ConfigurationError("damaged")
        yield

    monkeypatch.setattr(backup, "restore", restore)

    assert _run("restore", "backup.tar.gz").exit_code != 0
    assert not (tmp_path / "history.db").exists()


def test_output_waits_for_no_history(tmp_path: Path, locked: sqlite3.Connection) -> None:
    done = CliRunner().invoke(app, ["submit", "text.reverse", "--text", "ab"])

    assert (done.exit_code, done.stdout) == (0, f"{NEW}\n")
    locked.rollback()
    trail.finish()
    assert [entry.target for entry in _told(tmp_path)] == [NEW]


def test_entry_that_nobody_waits_for_is_in_the_log(
    locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    CliRunner().invoke(app, ["queues", "pause", "fast"])
    (writing,) = (each for each in set(threading.enumerate()) - before if each.name == "audit")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        trail.finish()

    assert "Not in the audit trail" in caplog.text
    assert json.dumps("queue.pause") in caplog.text
    locked.rollback()
    writing.join()


def test_command_ends_when_its_entry_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["celeriac", "queues", "pause", "fast"])

    with pytest.raises(SystemExit):
        run_command()

    assert [entry.action for entry in _told(tmp_path)] == ["queue.pause"]


def test_command_makes_no_history_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERIAC_HISTORY_URL")

    assert _run("queues", "pause", "fast").exit_code == 0

    assert list(tmp_path.iterdir()) == []


def test_command_tells_the_history_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERIAC_HISTORY_URL")
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    assert _told(tmp_path) == []

    _run("queues", "pause", "fast")

    assert [entry.action for entry in _told(tmp_path)] == ["queue.pause"]
