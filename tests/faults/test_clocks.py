"""Clocks that are wrong, and runs that wait for their time while the broker restarts."""

from pathlib import Path

import pytest

from eventually import eventually
from fault_load import SENT_TWICE, Load
from fault_system import EXECUTED_AT_ONCE, System
from ordeal import ordeal

WRONG_CLOCK = Path(__file__).parents[1] / "wrong_clock"
"""What this folder holds, Python imports before anything else."""
AN_HOUR_S = 3600
MANY = 60

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("off_s", [AN_HOUR_S, -AN_HOUR_S], ids=["fast", "slow"])
def test_clocks_of_workers_an_hour_off(system: System, off_s: int) -> None:
    fault = f"clocks of the workers an hour {'fast' if off_s > 0 else 'slow'}"
    with ordeal(system, fault, countdown_s=2, retry_s=2) as load:
        path = f"{WRONG_CLOCK}:{system.environment['PYTHONPATH']}"
        system.restart_workers(CLOCK_OFF_S=str(off_s), PYTHONPATH=path)
        newest = load.newest
        eventually(lambda: _waited_for_its_time(load, newest), deadline_s=180)
        system.restart_workers()
    assert load.lost() == set()


def _waited_for_its_time(load: Load, after: int) -> bool:
    """Tell whether a run with a countdown and a retry was executed, submitted after this one."""
    executed = {each.number for each in load.executions()}
    return any(number > after and load.tries_again(number) for number in executed)


def test_runs_wait_for_their_time_while_the_broker_restarts(system: System) -> None:
    fault = "broker restarted while half of the runs wait for their ETA"
    with ordeal(system, fault, again=EXECUTED_AT_ONCE + SENT_TWICE, countdown_s=8) as load:
        load.await_more(MANY)
        system.broker.stop()
        system.broker.start()
    assert load.lost() == set()
