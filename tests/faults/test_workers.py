"""Workers that die: what they had in hand is given out again, and nothing is lost."""

import os
import signal

import psutil
import pytest

from celeriac.history import RunRow
from eventually import eventually
from fault_load import Load
from fault_system import CONCURRENCY, DELIVERY_LIMIT, EXECUTED_AT_ONCE, System
from ordeal import ordeal

POISONS = 3

pytestmark = pytest.mark.timeout(900)


def test_main_process_killed(system: System) -> None:
    worker = system.workers[0]
    with ordeal(system, "a worker's main process killed", again=CONCURRENCY) as load:
        children = worker.kill_alone()
        worker.start()
    assert load.lost() == set()
    eventually(lambda: not psutil.wait_procs(children, 0)[1], deadline_s=120)


def test_child_killed_in_mid_run(system: System) -> None:
    with ordeal(system, "a worker's child killed in mid-run", again=1) as load:
        os.kill(_executing(load, load.submit(work_s=3)), signal.SIGKILL)
    assert load.lost() == set()


def test_every_worker_killed(system: System) -> None:
    with ordeal(system, "every worker killed", again=EXECUTED_AT_ONCE) as load:
        for worker in system.workers:
            worker.kill()
        for worker in system.workers:
            worker.start()
    assert load.lost() == set()


def test_poison_among_healthy_runs(system: System) -> None:
    with ordeal(system, f"{POISONS} runs kill their process each time") as load:
        poisons = [load.submit_poison() for _ in range(POISONS)]
        ended = eventually(lambda: _ended(system, poisons), deadline_s=180)
    assert load.lost() == set()

    starts = [each.run_id for each in load.executions()]
    assert {run.state for run in ended} == {"DEAD"}
    assert [starts.count(run_id) for run_id in poisons] == [DELIVERY_LIMIT + 1] * POISONS


def _ended(system: System, run_ids: list[str]) -> list[RunRow]:
    """Give the runs once all have ended."""
    runs = [system.history.get(run_id) for run_id in run_ids]
    ended = [run for run in runs if run and run.finished_at]
    return ended if len(ended) == len(run_ids) else []


def _executing(load: Load, run_id: str) -> int:
    """Give the process that executes a run."""
    return eventually(
        lambda: next(each.pid for each in load.executions() if each.run_id == run_id),
        deadline_s=120,
    )
