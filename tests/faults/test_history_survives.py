"""Runs are never forgotten: processes are killed while runs are submitted, and none is missing.

A seed decides who is killed when. It is always the same, unless `SEED=1234 make faults` gives
another; `RUNS=500` makes it quick.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis

from breakable import CONCURRENCY, Breakable
from celeriac.history import History, RunRow
from celeriac.history.states import FINISHED
from eventually import eventually
from executions import executions
from reaper import Reaper
from submitters import Submitters, text_of

USUAL_SEED = 20_000
GOES_ON_WITHIN_S = 120
A_PAGE = 1000


AGAIN = {"worker": CONCURRENCY, "valkey": CONCURRENCY, "redis": CONCURRENCY, "child": 1}
"""How many runs each kill of somebody may have executed again: those it interrupts."""


class Ordeal(NamedTuple):
    """Who submitted, what was broken, and how often each was killed."""

    submitters: Submitters
    breakable: Breakable
    kills: Mapping[str, int]


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("SEED") or USUAL_SEED)
    print(f"SEED={seed}")
    return seed


@pytest.fixture(params=["on_valkey-20000", "on_rabbitmq-3000"])
def ordeal(request: pytest.FixtureRequest, seed: int) -> Iterator[Ordeal]:
    """Submit runs while everything is killed again and again; gives all when it is over.

    However fast the runs are submitted: it is not over before everybody was killed.
    """
    where, runs = request.param.split("-")
    breakable: Breakable = request.getfixturevalue(where)
    reaper = Reaper(breakable.kills, seed, pause_s=(3, 8))
    wanted = int(os.environ.get("RUNS") or runs)
    submitters = Submitters(breakable.stack.port, wanted, go_on=lambda: bool(reaper.spares()))
    submitters.start()
    reaper.run(lambda: not submitters.done())
    print(f"{submitters.begun} runs; killed {dict(reaper.done)}")
    assert not reaper.spares(), "everybody was killed at least once"
    yield Ordeal(submitters, breakable, reaper.done)


@pytest.mark.timeout(1500)
def test_every_run_is_in_the_history_once_whoever_was_killed(ordeal: Ordeal) -> None:
    submitters, breakable, kills = ordeal
    history = History(breakable.history_url)

    runs = _settled(history, submitters)

    assert submitters.odd == [], "an answer is 202, or 503 while something is away"
    assert runs.keys() == submitters.accepted.keys(), "each accepted run, and no other"
    assert sorted(submitters.accepted.values()) == list(range(submitters.begun))
    _check_celery_agrees(runs, breakable.redis_url())
    _check_executions(runs, breakable.executed_in, kills)
    for run_id, number in submitters.accepted.items():
        _check_life(runs[run_id], text_of(number))
    now = datetime.now(UTC)
    total = history.stats(now - timedelta(hours=1), now + timedelta(minutes=1)).total
    assert total.submitted == len(runs), "every run is counted once"
    history.close()


def _settled(history: History, submitters: Submitters) -> dict[str, RunRow]:
    """Give all runs by identifier once all have ended, however long that takes if it goes on."""
    runs: dict[str, RunRow] = {}
    left: float = math.inf
    while left:
        fewer = partial(_if_fewer, history, submitters, left)
        runs, left = eventually(fewer, deadline_s=GOES_ON_WITHIN_S)
    return runs


def _if_fewer(
    history: History, submitters: Submitters, than: float
) -> tuple[dict[str, RunRow], int]:
    """Give all runs, and how many are missing or have not ended, where those are fewer."""
    runs = {run.id: run for run in _all(history)}
    left = [run.id for run in runs.values() if run.state not in FINISHED]
    left += submitters.accepted.keys() - runs.keys()
    assert len(left) < than, f"{len(left)} are missing or do not end, such as {sorted(left)[:2]}"
    return runs, len(left)


def _all(history: History) -> Iterator[RunRow]:
    cursor = None
    while True:
        page = history.find(None, cursor, A_PAGE)
        yield from page.runs
        if (cursor := page.next_cursor) is None:
            return


def _check_celery_agrees(runs: dict[str, RunRow], redis_url: str) -> None:
    ids = list(runs)
    with Redis.from_url(redis_url) as redis:
        found = redis.mget([f"celery-task-meta-{run_id}" for run_id in ids])
    for run_id, text in zip(ids, found, strict=True):
        meta = json.loads(text)
        run = runs[run_id]
        assert (run.state, run.result) == (meta["status"], meta["result"]), run


def _check_executions(runs: dict[str, RunRow], path: Path, kills: Mapping[str, int]) -> None:
    """Check that what is executed again is, at most, what a worker executed when it was hit."""
    counts = executions(path)
    again = counts.total() - len(counts)
    most = sum(AGAIN.get(victim, 0) * times for victim, times in kills.items())
    print(f"executed again: {again} of at most {most}")
    assert counts.keys() == runs.keys(), "each run, and nothing else, is executed"
    assert again <= most


def _check_life(run: RunRow, text: str) -> None:
    assert (run.state, run.args, run.result) == ("SUCCESS", {"text": text}, text[::-1])
    assert (run.task, run.queue) == ("counted.reverse", "celery_see")
    assert run.attempts == 1, "what a dead worker gives back is the same attempt"
    assert run.worker and run.started_at and run.finished_at
    assert run.submitted_at <= run.finished_at
