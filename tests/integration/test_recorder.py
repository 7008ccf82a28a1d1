"""The recorder between a real stream and a real history."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from celeriac.errors import HistoryUnavailableError
from celeriac.events import STREAM, Event, EventKind
from celeriac.history import History, RunFilter
from celeriac.recorder import GROUP, Recorder
from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from processes import ChildProcess
from servers import RedisServer
from services import Services
from worker_process import celeriac_environment, running_worker

NOW = datetime.now(UTC)
QUARTER = timedelta(days=90)


@pytest.fixture
def redis_url(valkey_server: RedisServer) -> str:
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
def stream(valkey_server: RedisServer, redis_url: str) -> Iterator[Any]:
    with valkey_server.client() as client:
        yield client


def _add(stream: Any, run_id: str, kind: EventKind, second: int = 0, **data: Any) -> bytes:
    event = Event(run_id, kind, NOW + timedelta(seconds=second), data)
    entry_id: bytes = stream.xadd(STREAM, event.fields())
    return entry_id


def _life(stream: Any, run_id: str) -> None:
    _add(stream, run_id, EventKind.SUBMITTED, 0, task="a", args={"n": 1}, queue="q")
    _add(stream, run_id, EventKind.STARTED, 1, task="a", attempt=1, worker="w")
    _add(stream, run_id, EventKind.SUCCEEDED, 2, task="a", attempt=1, worker="w", result=7)


class _Recording:
    """A recorder in a thread, for the length of a block."""

    def __init__(self, redis_url: str, history: Any) -> None:
        self.recorder = Recorder(redis_url, history, keep=QUARTER)
        self._stop = Flag()
        self._thread = Thread(target=self.recorder.run, args=(self._stop,))

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self.recorder

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_events_become_runs(redis_url: str, stream: Any, history: History) -> None:
    _life(stream, "one")

    with _Recording(redis_url, history) as recorder:
        run = eventually(
            lambda: (found := history.get("one")) and found.state == "SUCCESS" and found
        )
        eventually(lambda: recorder.lag() == 0)

    assert (run.task, run.args, run.result, run.worker) == ("a", {"n": 1}, 7, "w")


def test_events_that_came_while_it_was_away_are_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    with _Recording(redis_url, history):
        _life(stream, "before")
        eventually(lambda: history.get("before"))
    for number in range(2500):
        _life(stream, f"run-{number}")

    with _Recording(redis_url, history) as recorder:
        eventually(lambda: recorder.lag() == 0, deadline_s=60)

    assert history.count(RunFilter(states=("SUCCESS",))).total == 2501


def test_what_a_dead_recorder_had_taken_is_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    _life(stream, "one")
    stream.xgroup_create(STREAM, GROUP, id="0")
    stream.xreadgroup(GROUP, GROUP, {STREAM: ">"})  # Taken, never acknowledged.

    with _Recording(redis_url, history):
        eventually(lambda: history.get("one"))


def test_entries_that_are_no_events_are_skipped(
    redis_url: str, stream: Any, history: History
) -> None:
    stream.xadd(STREAM, {"nonsense": "yes"})
    stream.xadd(STREAM, {"run": "x", "kind": "exploded", "at": "now", "data": "{}"})
    _life(stream, "one")

    with _Recording(redis_url, history) as recorder:
        eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)


class _Moody:
    """A history that fails as it is told, and otherwise is the real one."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.away = True
        self.hates = ""

    def apply(self, events: list[Event]) -> None:
        if self.away:
            raise HistoryUnavailableError("The disk is full.")
        if any(event.run_id == self.hates for event in events):
            raise RuntimeError("cannot digest this")
        self._history.apply(events)

    def prune(self, **_: Any) -> Iterator[None]:
        return iter(())


def test_events_wait_while_the_history_is_away(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    _life(stream, "one")

    with _Recording(redis_url, moody) as recorder:
        eventually(lambda: recorder.lag() == 3)
        assert history.get("one") is None
        moody.away = False

        assert eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)


def test_event_that_cannot_be_recorded_stops_no_other(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    moody.away, moody.hates = False, "bad"
    for name in ("one", "bad", "two"):
        _life(stream, name)

    with _Recording(redis_url, moody) as recorder:
        eventually(lambda: recorder.lag() == 0)

    assert history.get("one") and history.get("two") and not history.get("bad")


def test_stream_is_trimmed_behind_what_was_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    for number in range(500):
        event = Event(f"old-{number}", EventKind.SUBMITTED, NOW, {"task": "a"})
        stream.xadd(STREAM, event.fields(), id=f"{1_600_000_000_000 + number}-0")

    with _Recording(redis_url, history) as recorder:
        _life(stream, "new")
        eventually(lambda: history.get("new"))
        eventually(lambda: recorder.lag() == 0)

    assert stream.xlen(STREAM) < 500
    assert history.count(RunFilter()).total == 501


def test_runs_of_a_real_worker_are_found_in_the_history(services: Services, tmp_path: Path) -> None:
    environment = celeriac_environment(tmp_path, *services)
    recorder = ChildProcess(
        command=[sys.executable, "-m", "celeriac", "recorder"],
        log_path=tmp_path / "recorder.log",
        env=environment,
        cwd=tmp_path,
    )
    runs = Runs.of(
        load_settings(
            join_stack=False,
            broker_url=services.broker_url,
            redis_url=services.redis_url,
            data_dir=tmp_path / ".celeriac",
        )
    )
    recorder.start()
    try:
        with running_worker(tmp_path, *services):
            run = runs.submit("text.reverse", {"text": "needle"}, SubmitOptions())
            runs.wait(run.id, 20)
            found = eventually(
                lambda: runs.find(RunFilter(states=("SUCCESS",), text="needle")).runs,
                deadline_s=20,
            )
    finally:
        recorder.stop()

    assert [each.id for each in found] == [run.id]
    assert (found[0].state, found[0].result) == (RunState.SUCCESS, "eldeen")
