"""What workers tell of themselves, and what can be asked of them, with real workers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.errors import (
    BrokerUnavailableError,
    ResultsUnavailableError,
    UnknownWorkerError,
    WorkerRefusedError,
)
from celeriac.fleet import WORKER_PREFIX, WORKERS
from celeriac.fleet.record import Worker, WorkerState, write_worker
from celeriac.redis_client import connect
from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import Settings, load_settings
from eventually import eventually
from processes import ChildProcess, free_port
from services import Services
from worker_process import running_worker

LONG = {"limit": 2_000_000_000}
TELLS_WITHIN_S = 20


@pytest.fixture
def settings(services: Services, tmp_path: Path) -> Settings:
    with connect(services.redis_url) as client:
        client.delete("celeriac-workers")
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        data_dir=tmp_path,
    )


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs.of(settings)


@pytest.fixture
def worker(services: Services, tmp_path: Path, runs: Runs) -> Iterator[ChildProcess]:
    with running_worker(tmp_path, *services) as process:
        eventually(lambda: _only(runs).queues, deadline_s=TELLS_WITHIN_S)
        yield process


def _only(runs: Runs) -> Worker:
    (worker,) = runs.workers.all()
    return worker


def _state(runs: Runs) -> WorkerState:
    return _only(runs).state


def test_worker_tells_of_itself(runs: Runs, worker: ChildProcess) -> None:
    told = _only(runs)

    assert (told.state, told.connected, told.pool) == (WorkerState.ONLINE, True, "prefork")
    assert (told.concurrency, told.can_resize, told.prefetch) == (2, True, 2)
    assert (told.queues, told.paused, told.active) == (["celery_see"], [], [])
    assert told.memory_bytes is not None and told.memory_bytes > 10_000_000
    assert len(told.load) == 3
    assert told.pid == worker.pid


def test_worker_names_the_runs_that_it_executes(runs: Runs, worker: ChildProcess) -> None:
    run_id = runs.submit("primes.count", LONG, SubmitOptions()).id

    told = eventually(
        lambda: _only(runs) if _only(runs).active else None, deadline_s=TELLS_WITHIN_S
    )
    assert [(run.id, run.task, run.queue) for run in told.active] == [
        (run_id, "primes.count", "celery_see")
    ]
    started_at = told.active[0].started_at
    assert started_at is not None and started_at >= told.started_at
    assert (told.active_count, told.taken) == (1, {"celery_see": 1})
    assert runs.queues.get("celery_see").running == 1
    runs.cancel(run_id)


def test_worker_that_ends_in_good_order_is_offline_at_once(
    runs: Runs, worker: ChildProcess
) -> None:
    worker.stop()

    told = _only(runs)
    assert (told.state, told.active, told.connected) == (WorkerState.OFFLINE, [], False)


def test_worker_that_is_killed_is_lost(
    runs: Runs, worker: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.kill()
    assert _state(runs) is WorkerState.ONLINE

    monkeypatch.setattr("celeriac.runs.workers.LOST_AFTER_S", 3)

    eventually(lambda: _state(runs) is WorkerState.LOST)
    with pytest.raises(WorkerRefusedError, match="is lost"):
        runs.workers.grow(_only(runs).name)


def test_worker_whose_clock_is_ahead_removes_no_other(services: Services, tmp_path: Path) -> None:
    (tmp_path / "ahead.py").write_text(
        "import time\nnow = time.time\ntime.time = lambda: now() + 3 * 86_400\n"
    )
    ahead = {"PYTHONPATH": str(tmp_path), "CELERIAC_TASKS": "ahead"}
    with connect(services.redis_url) as client:
        client.zadd(WORKERS, {"other@there": client.time()[0]})

        with running_worker(tmp_path, *services, more=ahead):
            names = eventually(lambda: client.zcard(WORKERS) > 1 and client.zrange(WORKERS, 0, -1))

        assert b"other@there" in names


def test_worker_that_stops_tells_that_it_finishes(runs: Runs, worker: ChildProcess) -> None:
    run_id = runs.submit("primes.count", LONG, SubmitOptions()).id
    eventually(lambda: _only(runs).active, deadline_s=TELLS_WITHIN_S)

    os.kill(worker.pid, signal.SIGTERM)

    eventually(lambda: _state(runs) is WorkerState.STOPPING)
    assert [run.id for run in _only(runs).active] == [run_id]
    worker.kill()  # It would wait for the run's end, and listens to nobody any more.
    runs.cancel(run_id)  # The next test's worker would execute it again.


def test_worker_grows_and_shrinks(runs: Runs, worker: ChildProcess) -> None:
    name = _only(runs).name

    runs.workers.shrink(name)
    eventually(lambda: _only(runs).concurrency == 1)
    with pytest.raises(WorkerRefusedError, match="must keep one"):
        runs.workers.shrink(name)

    runs.workers.grow(name, 3)
    eventually(lambda: _only(runs).concurrency == 4)


def test_worker_that_is_shrunk_again_and_again_keeps_one_slot_that_works(
    runs: Runs, worker: ChildProcess
) -> None:
    name = _only(runs).name

    refusals = 0
    for _ in range(5):
        try:
            runs.workers.shrink(name)
        except WorkerRefusedError as error:
            refusals += "must keep one" in str(error)

    assert refusals == 4
    run_id = runs.submit("text.reverse", {"text": "abc"}, SubmitOptions()).id
    eventually(lambda: runs.get(run_id).state is RunState.SUCCESS)
    eventually(lambda: _only(runs).concurrency == 1)


def test_worker_that_is_shut_down_ends(runs: Runs, worker: ChildProcess) -> None:
    runs.workers.shutdown(_only(runs).name)

    eventually(lambda: _state(runs) is WorkerState.OFFLINE)
    eventually(lambda: not worker.is_running)


def test_worker_of_a_fixed_size_refuses(runs: Runs, services: Services, tmp_path: Path) -> None:
    with running_worker(tmp_path, *services, options=("--pool", "solo")):
        told = eventually(lambda: _only(runs), deadline_s=TELLS_WITHIN_S)
        assert (told.pool, told.concurrency, told.can_resize) == ("solo", 1, False)

        with pytest.raises(WorkerRefusedError, match="solo"):
            runs.workers.grow(told.name)


def test_worker_that_nobody_hears_does_not_answer(
    runs: Runs, services: Services, worker: ChildProcess
) -> None:
    with connect(services.redis_url) as client:
        silent = _only(runs).model_copy(update={"name": "silent@nowhere"})
        write_worker(client, silent, client.time()[0])

    with pytest.raises(BrokerUnavailableError, match="did not answer"):
        runs.workers.grow("silent@nowhere")


def test_unknown_worker_has_near_names(runs: Runs, worker: ChildProcess) -> None:
    name = _only(runs).name

    with pytest.raises(UnknownWorkerError) as raised:
        runs.workers.get(name[:-1])

    assert raised.value.near == (name,)


def test_record_of_something_else_is_no_worker(
    runs: Runs, services: Services, worker: ChildProcess
) -> None:
    with connect(services.redis_url) as client:
        client.hset(WORKER_PREFIX + "odd\n name@é", "pid", "no JSON")
        client.zadd("celeriac-workers", {"odd\n name@é": 1e12, "gone@host": 1e12})

    assert [each.pool for each in runs.workers.all()] == ["prefork"]


def test_workers_need_redis(settings: Settings) -> None:
    away = load_settings(
        join_stack=False,
        broker_url=settings.broker_url,
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
    )

    with pytest.raises(ResultsUnavailableError):
        Runs.of(away).workers.all()


def test_worker_goes_on_while_redis_does_not_take_its_heartbeat(
    runs: Runs, worker: ChildProcess, services: Services
) -> None:
    """A record of a wrong type refuses every heartbeat as a Redis that is read-only would."""
    name = _only(runs).name
    with connect(services.redis_url) as client:
        client.delete("celeriac-workers")
        client.set("celeriac-workers", "in the way")
        eventually(lambda: "does not take this worker's heartbeat" in worker.log_path.read_text())
        done = runs.submit("text.reverse", {"text": "abc"}, SubmitOptions())
        assert runs.wait(done.id, timeout_s=20).state is RunState.SUCCESS
        client.delete("celeriac-workers")

    eventually(lambda: _only(runs).name == name)
