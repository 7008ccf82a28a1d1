"""The recorder between a real stream and a real history."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from celeriac.events import STREAM, Event, EventKind
from celeriac.history import History, RunFilter
from celeriac.lag import read_lag
from celeriac.recorder import GROUP
from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from processes import ChildProcess
from recording import NOW, Recording, add, life
from services import Services
from worker_process import celeriac_environment, running_worker


def test_events_become_runs(redis_url: str, stream: Any, history: History) -> None:
    life(stream, "one")

    with Recording(redis_url, history) as recorder:
        run = eventually(
            lambda: (found := history.get("one")) and found.state == "SUCCESS" and found
        )
        eventually(lambda: recorder.lag() == 0)

    assert (run.task, run.args, run.result, run.worker) == ("a", {"n": 1}, 7, "w")


def test_events_that_came_while_it_was_away_are_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    with Recording(redis_url, history):
        life(stream, "before")
        eventually(lambda: history.get("before"))
    for number in range(2500):
        life(stream, f"run-{number}")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: recorder.lag() == 0, deadline_s=60)

    assert history.count(RunFilter(states=("SUCCESS",))).total == 2501


def test_what_a_dead_recorder_had_taken_is_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    life(stream, "one")
    stream.xgroup_create(STREAM, GROUP, id="0")
    stream.xreadgroup(GROUP, GROUP, {STREAM: ">"})  # Taken, never acknowledged.

    with Recording(redis_url, history):
        eventually(lambda: history.get("one"))


def test_few_entries_stay_once_they_are_recorded(
    redis_url: str, stream: Any, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.recorder.KEEP_RECORDED", 500)
    for number in range(1000):
        life(stream, f"run-{number}")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: recorder.lag() == 0, deadline_s=30)
        # Redis removes whole blocks of a hundred entries.
        eventually(lambda: 500 <= stream.xlen(STREAM) <= 600)

    assert history.count(RunFilter(states=("SUCCESS",))).total == 1000
    assert read_lag(stream).losses is None


def test_two_recorders_at_once_record_each_run_once(
    redis_url: str, stream: Any, history: History
) -> None:
    for number in range(1500):
        life(stream, f"run-{number}")

    with Recording(redis_url, history) as recorder, Recording(redis_url, history):
        for number in range(1500, 2000):
            life(stream, f"run-{number}")
        eventually(lambda: recorder.lag() == 0, deadline_s=60)

    assert history.count(RunFilter(states=("SUCCESS",))).total == 2000
    minute = timedelta(minutes=1)
    assert history.stats(NOW - minute, NOW + minute).total.submitted == 2000
    assert read_lag(stream).losses is None


def test_stream_is_trimmed_behind_what_was_recorded(
    redis_url: str, stream: Any, history: History
) -> None:
    for number in range(500):
        event = Event(f"old-{number}", EventKind.SUBMITTED, NOW, {"task": "a"})
        stream.xadd(STREAM, event.fields(), id=f"{1_600_000_000_000 + number}-0")

    with Recording(redis_url, history) as recorder:
        life(stream, "new")
        eventually(lambda: history.get("new"))
        eventually(lambda: recorder.lag() == 0)

    assert stream.xlen(STREAM) < 500
    assert history.count(RunFilter()).total == 501


def test_only_the_newest_runs_are_kept(redis_url: str, stream: Any, history: History) -> None:
    for number in range(1, 1201):
        life(stream, f"run-{number:04}")
    add(stream, "unfinished", EventKind.SUBMITTED, -60, task="a")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: recorder.lag() == 0, deadline_s=60)
    with Recording(redis_url, history, runs=100):
        eventually(lambda: history.count(RunFilter()).total == 101, deadline_s=20)

    assert history.get("unfinished")


def test_old_runs_are_removed_while_events_never_stop_coming(
    redis_url: str, stream: Any, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.recorder.PRUNE_EVERY_S", 0.2)
    old = NOW - timedelta(days=400)
    for number in range(1200):
        stream.xadd(STREAM, Event(f"old-{number}", EventKind.SUCCEEDED, old, {}).fields())
    stop = Flag()

    def keep_coming() -> None:
        with stream.pipeline() as pipe:
            while not stop.wait(0.05):
                for number in range(50):
                    pipe.xadd(STREAM, Event(f"new-{number}", EventKind.STARTED, NOW, {}).fields())
                pipe.execute()

    with ThreadPoolExecutor() as pool:
        coming = pool.submit(keep_coming)
        try:
            with Recording(redis_url, history):
                eventually(lambda: history.get("new-0"), deadline_s=30)
                eventually(
                    lambda: history.count(RunFilter(states=("SUCCESS",))).total == 0, deadline_s=30
                )
        finally:
            stop.set()
        coming.result()


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
                lambda: runs.history.find(RunFilter(states=("SUCCESS",), text="needle")).runs,
                deadline_s=20,
            )
    finally:
        recorder.stop()

    assert [each.id for each in found] == [run.id]
    assert (found[0].state, found[0].result) == (RunState.SUCCESS, "eldeen")
