"""Runs that threads of a pool execute in bundles."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac import telling
from celeriac.pools.bundles import Bundles
from celeriac.pools.short_runs import ShortRun
from eventually import eventually


@dataclass
class FakeBackend:
    """Notes what is told in each exchange; `errors` are those of runs."""

    exchanges: list[list[str]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)

    def start_of(self, task: Any, run_id: str, request: Any) -> Any:
        return SimpleNamespace(name=f"start {run_id}", result="STARTED")

    def write_together(self, changes: Any) -> list[Exception | None]:
        self.exchanges.append([change.name for change, _ in changes])
        return [self.errors.get(change.name) for change, _ in changes]


@dataclass
class Pool:
    """Some threads, with bundles of runs of which each does what `act` says."""

    told: FakeBackend
    bundles: Bundles
    ended: list[str] = field(default_factory=list)

    def add(self, run_id: str, act: Callable[[], object] = lambda: None) -> None:
        def execute(name: str, run_id: str, request: Any) -> Any:
            act()
            told: Any = telling._telling_of(run_id)
            told.success = SimpleNamespace(name=f"end {run_id}"), None
            return 0, run_id, 0.0

        self.bundles.add(
            ShortRun(execute, ("task", run_id, {}), lambda end: self.ended.append(end[1]), _accept)
        )

    def wait_for(self, count: int) -> None:
        eventually(lambda: len(self.ended) == count, deadline_s=20)


def _accept(pid: int, time_s: float) -> None:
    pass


@pytest.fixture
def pool() -> Iterator[Pool]:
    told: Any = FakeBackend()
    app: Any = SimpleNamespace(tasks={"task": None}, backend=told)
    with ThreadPoolExecutor(4) as threads:
        bundles = Bundles(app, 4, threads.submit)
        bundles.start()
        yield Pool(told, bundles)


def fill(pool: Pool, count: int) -> None:
    """Have runs wait, so that they are taken together."""
    with pool.bundles._lock:
        pool.bundles._threads += 1  # Nobody is called for help.
        pool.bundles._takes_s["task"] = 0.00001
    for number in range(count):
        pool.add(f"{number}")
    with pool.bundles._lock:
        pool.bundles._threads -= 1


def test_what_waits_is_told_together(pool: Pool) -> None:
    fill(pool, 100)
    pool.add("last")
    pool.wait_for(101)

    told = [each for exchange in pool.told.exchanges for each in exchange]
    assert len(pool.told.exchanges) < 50
    assert sorted(told) == sorted(
        f"{what} {run}" for what in ("start", "end") for run in (*range(100), "last")
    )


def test_run_whose_end_cannot_be_stored_is_not_taken_for_ended(pool: Pool) -> None:
    pool.told.errors["end 3"] = ValueError("no")
    fill(pool, 10)
    pool.add("last")
    pool.wait_for(10)

    assert "3" not in pool.ended


def test_start_that_cannot_be_told_is_left_to_celery(pool: Pool) -> None:
    pool.told.errors["start a"] = ValueError("no")
    seen: list[Any] = []

    def look() -> None:
        seen.extend(telling._telling_of(each).start for each in "a")  # type: ignore[union-attr]

    pool.add("a", look)
    pool.wait_for(1)

    assert seen == [None]


def test_what_waits_behind_a_long_run_goes_to_another_thread(pool: Pool) -> None:
    goes_on = threading.Event()
    fill(pool, 1)
    pool.add("long", goes_on.wait)
    with pool.bundles._lock:
        pool.bundles._takes_s["task"] = 0.00001
    for number in range(20):
        pool.add(f"behind {number}")

    pool.wait_for(21)
    assert "long" not in pool.ended
    goes_on.set()
    pool.wait_for(22)


def test_what_no_thread_has_taken_is_forgotten_and_the_rest_is_begun(pool: Pool) -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        goes_on.wait()

    pool.add("begun", wait)
    assert begun.wait(20)
    with pool.bundles._lock:
        pool.bundles._limit = 1
    fill(pool, 5)

    assert "begun" in pool.bundles.forget_waiting()
    goes_on.set()
    pool.wait_for(1)
    assert pool.ended == ["begun"]


def test_run_that_ends_its_thread_takes_no_other_with_it(pool: Pool) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    fill(pool, 3)
    pool.add("leaves", leave)
    pool.add("last")
    eventually(lambda: "last" in pool.ended, deadline_s=20)
    assert {"0", "1", "2", "last"} <= {str(each) for each in pool.ended}
