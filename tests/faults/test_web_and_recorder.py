"""A web that dies at any instant, and a recorder that dies."""

import random
import threading

import pytest

from eventually import eventually
from fault_system import System
from ordeal import SEED, ordeal

KILLS = 3
WITHIN_S = 0.01
"""An answer takes about so long."""
FROZEN_S = 5
MANY = 60
"""How many runs are accepted while nothing is recorded."""

pytestmark = pytest.mark.timeout(900)


def test_web_killed_between_accepting_and_answering(system: System) -> None:
    instants = random.Random(SEED)
    with ordeal(system, f"web killed {KILLS} times while it accepts runs") as load:
        for _ in range(KILLS):
            load.await_more(5)
            eventually(lambda: load.asking)
            threading.Event().wait(instants.uniform(0, WITHIN_S))
            system.web.kill()
            system.web.start()
    assert load.lost() == set()


def test_web_frozen(system: System) -> None:
    with ordeal(system, f"web frozen for {FROZEN_S} s") as load:
        system.web.freeze()
        threading.Event().wait(FROZEN_S)  # That time goes by is the fault.
        system.web.thaw()
    assert load.lost() == set()


def test_recorder_killed(system: System) -> None:
    with ordeal(system, f"recorder killed {KILLS} times") as load:
        for _ in range(KILLS):
            system.recorder.kill()
            load.await_more(MANY)
            system.recorder.start()
    assert load.lost() == set()
