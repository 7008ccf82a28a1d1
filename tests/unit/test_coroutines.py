"""Coroutines that threads wait for, on one loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.pools.coroutines import Coroutines, EndedError, Limits


@pytest.fixture
def coroutines() -> Iterator[Coroutines]:
    coroutines = Coroutines()
    coroutines.start()
    yield coroutines
    coroutines.stop()


@pytest.fixture
def task() -> Iterator[Any]:
    app = Celery(set_as_current=False)

    @app.task(name="one", bind=True, shared=False)
    async def one(self: Any) -> str:
        await asyncio.sleep(0)
        return str(self.request.id)

    task = app.tasks["one"]
    task.push_request(id="run", called_directly=False)
    yield task
    task.pop_request()


def tell() -> None:
    """Stand for what tells of an end."""


async def forever() -> None:
    await asyncio.sleep(3600)


def test_its_own_run_is_current_to_a_coroutine(coroutines: Coroutines, task: Any) -> None:
    assert coroutines.serve(task) and coroutines.serve(task)
    assert task.run() == "run"


def test_who_calls_it_as_a_function_awaits_it(coroutines: Coroutines, task: Any) -> None:
    coroutines.serve(task)
    task.request.called_directly = True
    assert asyncio.run(task.run()) == "run"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_error_of_a_coroutine_is_raised_where_it_is_waited_for(
    coroutines: Coroutines, task: Any, error: BaseException
) -> None:
    async def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        coroutines.wait_for(task, fails())
    coroutines.serve(task)
    assert task.run() == "run"


def test_coroutine_may_catch_that_it_takes_too_long_and_go_on(
    coroutines: Coroutines, task: Any
) -> None:
    async def cleans_up() -> str:
        try:
            await forever()
        except SoftTimeLimitExceeded:
            async with asyncio.timeout(60):  # An uncancelled task is none to a timeout.
                await asyncio.sleep(0)
        return "clean"

    told: list[Any] = []
    coroutines.expect("run", Limits(0.01, 60, lambda *about: told.append(about)))
    assert coroutines.wait_for(task, cleans_up()) == "clean"
    assert told == [(True, 0.01)]
    assert coroutines.forget("run") is None


def test_coroutine_is_ended_that_takes_far_too_long(coroutines: Coroutines, task: Any) -> None:
    told: list[Any] = []
    coroutines.expect("run", Limits(None, 0.01, lambda *about: told.append(about)))
    with pytest.raises(EndedError):
        coroutines.wait_for(task, forever())
    assert told == [(False, 0.01)]
    assert coroutines.forget("run")


def test_run_is_ended_from_outside_before_or_while_it_is_executed(
    coroutines: Coroutines, task: Any
) -> None:
    assert not coroutines.end("run", tell)
    coroutines.expect("run", Limits())
    threading.Timer(0.05, coroutines.end, ("run", tell)).start()
    with pytest.raises(EndedError):
        coroutines.wait_for(task, forever())
    with pytest.raises(EndedError):
        coroutines.wait_for(task, forever())
    assert coroutines.forget("run") is tell


@pytest.mark.parametrize("limits", [(0.05, 60), (None, 0.05)], ids=["soft", "hard"])
@pytest.mark.parametrize("inside", [False, True], ids=["group-waits", "body-waits"])
def test_what_a_coroutine_began_ends_with_it(
    coroutines: Coroutines, task: Any, limits: tuple[float | None, float], inside: bool
) -> None:
    began: list[asyncio.Task[None]] = []

    async def begins() -> None:
        async with asyncio.TaskGroup() as group:
            began.append(group.create_task(forever()))
            if inside:
                await forever()

    coroutines.expect("run", Limits(*limits))
    with pytest.raises((EndedError, SoftTimeLimitExceeded, BaseExceptionGroup)):
        coroutines.wait_for(task, begins())
    assert began[0].cancelled()


def test_coroutine_that_goes_on_after_its_end_has_no_other(
    coroutines: Coroutines, task: Any
) -> None:
    async def goes_on() -> str:
        with suppress(asyncio.CancelledError):
            await forever()
        return "went on"

    coroutines.expect("run", Limits(None, 0.01))
    with pytest.raises(EndedError):
        coroutines.wait_for(task, goes_on())
