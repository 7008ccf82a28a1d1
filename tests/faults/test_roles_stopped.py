"""Roles that are told to stop while runs are submitted, as a deployment does it: nothing is lost.

Nothing is executed twice either, since a worker that has time finishes what it executes. While the
only web is away, a client is refused a connection, and comes again; it never gets an error other
than 503 with `Retry-After`.
"""

import pytest

from eventually import eventually
from fault_system import Part, System
from ordeal import ordeal

TIMES = 2
ENDS_WITHIN_S = 40

pytestmark = pytest.mark.timeout(900)


def test_workers_told_to_stop(system: System) -> None:
    with ordeal(system, f"both workers stopped by SIGTERM, {TIMES} times") as load:
        for _ in range(TIMES):
            for worker in system.workers:
                worker.ask_to_stop()
            for worker in system.workers:
                _ends(worker)
                worker.start()
            load.await_more(5)
    assert load.lost() == set()


def test_web_and_recorder_told_to_stop(system: System) -> None:
    with ordeal(system, f"web and recorder stopped by SIGTERM, {TIMES} times") as load:
        for _ in range(TIMES):
            _restart(system.recorder)
            load.await_more(5)
            _restart(system.web)
    assert load.lost() == set()


def test_every_role_restarted(system: System) -> None:
    with ordeal(system, "every role restarted, one after the other") as load:
        for part in system.parts:
            _restart(part)
            load.await_more(5)
    assert load.lost() == set()


def _restart(part: Part) -> None:
    assert part.stop() == 0
    part.start()


def _ends(part: Part) -> None:
    eventually(lambda: not part.is_running, deadline_s=ENDS_WITHIN_S)
