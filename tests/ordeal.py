"""Break one thing while runs are submitted, and compare the counts when it is over.

    def test_worker_killed(system: System) -> None:
        with ordeal(system, "a worker killed", again=CONCURRENCY) as load:
            system.workers[0].kill()
            system.workers[0].start()
        assert load.lost() == set()

The block begins when runs are being executed; what it does is the fault, and the fault is over when
it ends. Then runs are submitted until the whole way works again, and a little longer. Each run that
was accepted must have been executed, and be in the history as succeeded; of those executed more
than once there may be `again` at most. The counts become a row of docs/reliability.md.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from celeriac.history import RunFilter, RunRow
from eventually import eventually
from fault_load import Execution, Load
from fault_system import System

SEED = int(os.environ.get("SEED") or 1)
REPORT = Path(os.environ.get("FAULTS_REPORT", Path(__file__).parents[1] / ".ci/out/faults"))
BEFORE, AFTER = 40, 40
"""How many runs are accepted before the fault, and after the recovery."""
BEGINS_WITHIN_S = 120
RECOVERS_WITHIN_S = 240
GOES_ON_WITHIN_S = 120
"""When no more runs have ended after so long, something is wrong."""
ANSWERS_WITHIN_S = 15
"""The slowest answer that a client may get; a client on a link that is cut waits itself."""
ENDED_WELL = ("SUCCESS",)
A_PAGE = 1000
A_FEW = 50
MOST_RUNS = 100_000


@dataclass(frozen=True)
class Row:
    """What is measured of one fault.

    `recovery_s` is the time from the end of the fault until a run that was submitted after it had
    gone the whole way into the history.
    """

    family: str
    fault: str
    broker: str
    accepted: int
    executed: int
    more_than_once: int
    at_most: int
    visible: int
    refused: int
    unconfirmed: int
    unanswered: int
    slowest_s: float
    recovery_s: float


@contextmanager
def ordeal(
    system: System, fault: str, *, again: int = 0, countdown_s: float = 0, retry_s: float = 0
) -> Iterator[Load]:
    """Submit runs while the block breaks something, then compare; gives the load."""
    load = _load(system, fault, countdown_s, retry_s)
    try:
        with load:
            load.await_more(BEFORE)
            eventually(load.executions, deadline_s=BEGINS_WITHIN_S)
            yield load
            recovery_s = _recovery(system, load)
            load.await_more(AFTER)
        runs = _settled(system, load)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{system.log_ends()}") from error
    load.seen = frozenset(_succeeded(runs))
    row = _row(system, fault, load, runs, again, recovery_s)
    _report(row)
    _check(row, load)


def _load(system: System, fault: str, countdown_s: float, retry_s: float) -> Load:
    tag = f"{slug(fault)}-{time.time_ns()}"
    folder = system.folder / tag
    folder.mkdir()
    return Load(system.port, folder, tag, SEED, countdown_s, retry_s)


def _recovery(system: System, load: Load) -> float:
    over_s, newest = time.monotonic(), load.newest

    def is_recovered() -> bool:
        later = tuple(load.accepted_after(newest)[:A_FEW])
        return bool(later and system.history.count(RunFilter(ids=later, states=ENDED_WELL)).total)

    eventually(is_recovered, deadline_s=RECOVERS_WITHIN_S)
    return time.monotonic() - over_s


def _settled(system: System, load: Load) -> dict[str, RunRow]:
    """Give the runs in the history once all have ended, however long that takes if it goes on."""
    ended = 0
    while ended < len(load.accepted):
        ended = eventually(partial(_ended, system, load, ended), deadline_s=GOES_ON_WITHIN_S)
    return eventually(lambda: _all_ended(system, load), deadline_s=GOES_ON_WITHIN_S)


def _ended(system: System, load: Load, more_than: int) -> int:
    """Count the runs that have ended; fails when those are no more."""
    wanted = RunFilter(tags=(load.tag,), states=ENDED_WELL)
    ended = system.history.count(wanted, cap=MOST_RUNS).total
    assert ended > more_than, f"{ended} of {len(load.accepted)} have ended"
    return ended


def _all_ended(system: System, load: Load) -> dict[str, RunRow]:
    runs = _runs(system, load)
    missing = load.accepted.keys() - _succeeded(runs)
    told = [f"{run_id} ({runs[run_id].state if run_id in runs else None})" for run_id in missing]
    assert not missing, f"{len(missing)} of {len(load.accepted)} have not ended: {told[:3]}"
    return runs


def _runs(system: System, load: Load) -> dict[str, RunRow]:
    found: dict[str, RunRow] = {}
    cursor: str | None = None
    while True:
        page = system.history.find(RunFilter(tags=(load.tag,)), cursor, A_PAGE)
        found |= {run.id: run for run in page.runs}
        if (cursor := page.next_cursor) is None:
            return found


def _succeeded(runs: dict[str, RunRow]) -> set[str]:
    return {run.id for run in runs.values() if run.state in ENDED_WELL}


def _row(
    system: System,
    fault: str,
    load: Load,
    runs: dict[str, RunRow],
    again: int,
    recovery_s: float,
) -> Row:
    executions = Counter(each.run_id for each in load.executions())
    return Row(
        family=os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0].rpartition("/")[2],
        fault=fault,
        broker=system.name,
        accepted=len(load.accepted),
        executed=sum(run_id in executions for run_id in load.accepted),
        more_than_once=sum(executions[run_id] > 1 for run_id in load.accepted),
        at_most=again,
        visible=len(_succeeded(runs) & load.accepted.keys()),
        refused=load.refused,
        unconfirmed=len(load.unconfirmed),
        unanswered=load.cut_off,
        slowest_s=round(load.slowest_s, 1),
        recovery_s=round(recovery_s, 1),
    )


def _check(row: Row, load: Load) -> None:
    assert load.odd == [], "an answer is 202, or 503 with Retry-After while something is away"
    assert row.more_than_once <= row.at_most, row
    assert row.slowest_s < ANSWERS_WITHIN_S, row
    numbers = list(load.accepted.values())
    assert len(numbers) == len(set(numbers)), "a key stands for one run, however often it is sent"
    assert _uncalled_for(load) == [], "what was refused was executed"
    early = [(each, each.at_s - load.due_at_s[each.number]) for each in load.too_early()]
    assert early == [], f"{len(early)} began before they were due: {early[:3]}"


def _uncalled_for(load: Load) -> list[Execution]:
    """Give what was executed though its client knows that it was not submitted."""
    known = load.accepted.keys() | load.unconfirmed | load.poisons
    return [
        each
        for each in load.executions()
        if each.run_id not in known and each.number not in load.unanswered
    ]


def _report(row: Row) -> None:
    REPORT.mkdir(parents=True, exist_ok=True)
    path = REPORT / f"{slug(row.fault)}-on-{slug(row.broker)}.json"
    path.write_text(json.dumps(asdict(row)))


def slug(text: str) -> str:
    """Write words so that they can name a file or a tag."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())
