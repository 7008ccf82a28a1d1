"""Coroutines on the pool `hybrid`: as plain functions are to Celery, and many at once."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.events import EventKind
from celeriac.runs import RunState
from eventually import eventually
from services import Services
from twins import ENVIRONMENT, STEP, Twins
from worker_process import running_worker


@pytest.fixture(scope="module")
def twins(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    with running_worker(folder, *services, ENVIRONMENT, ("--concurrency", "50")):
        yield Twins(services, folder)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(("", "_again", "_silent")), steps=st.lists(STEP, min_size=1, max_size=3)
)
def test_coroutine_ends_as_a_plain_function_does(twins: Twins, kind: str, steps: Any) -> None:
    assert twins.told(f"awaited{kind}", steps) == twins.told(f"plain{kind}", steps)


def test_many_coroutines_wait_at_the_same_time_and_each_knows_itself(twins: Twins) -> None:
    run_ids = [twins.submit("who") for _ in range(40)]

    for run_id in run_ids:
        assert twins.ended(run_id).result == [run_id]


def test_coroutine_that_takes_too_long_may_clean_up(twins: Twins) -> None:
    assert twins.ended(twins.submit("hurries")).result == "cleaned up"


def test_coroutine_that_takes_far_too_long_is_ended(twins: Twins) -> None:
    run = twins.ended(twins.submit("too_late"))

    assert run.state is RunState.FAILURE
    assert run.error and run.error.type == "TimeLimitExceeded"


def test_coroutine_that_executes_is_ended_by_a_cancel(twins: Twins) -> None:
    run_id = twins.submit("sleeps", seconds=60)
    eventually(lambda: twins.runs.get(run_id).state is RunState.STARTED, deadline_s=20)

    twins.runs.cancel(run_id)

    run = twins.ended(run_id)
    assert run.state is RunState.REVOKED and run.error and run.error.message == "terminated"
    assert twins.kinds(run_id)[1].count(EventKind.REVOKED) == 1


def test_plain_function_goes_on_through_its_cancel(twins: Twins) -> None:
    run_id = twins.submit("blocks", seconds=1)
    eventually(lambda: twins.runs.get(run_id).state is RunState.STARTED, deadline_s=20)

    twins.runs.cancel(run_id)

    assert twins.ended(run_id).state is RunState.SUCCESS


@pytest.mark.parametrize("task", ["cancels", "leaves"])
def test_coroutine_that_ends_oddly_takes_no_other_with_it(twins: Twins, task: str) -> None:
    neighbour = twins.submit("sleeps", seconds=1)

    twins.submit(task)

    assert twins.ended(neighbour).result == "slept"
    assert twins.ended(twins.submit("adds", a=1, b=2)).result == 3


def test_coroutine_may_call_another_as_a_function(twins: Twins) -> None:
    assert twins.ended(twins.submit("calls")).result == 3


def test_coroutines_are_parts_of_chains_groups_and_chords(twins: Twins) -> None:
    client: Celery = twins.client
    adds, sums = client.signature("twins.adds"), client.signature("twins.sums")

    chained = chain(adds.clone((1, 2)), adds.clone((3,)), app=client)()
    summed = chord(group((adds.clone((n, 1)) for n in range(5)), app=client), app=client)(sums)

    assert chained.get(timeout=30) == 6
    assert summed.get(timeout=30) == 15


def test_coroutines_take_no_longer_together_than_one_alone(twins: Twins) -> None:
    twins.ended(twins.submit("sleeps", seconds=0))
    started_s = time.monotonic()
    run_ids = [twins.submit("sleeps", seconds=3) for _ in range(20)]
    for run_id in run_ids:
        assert twins.ended(run_id).result == "slept"

    assert time.monotonic() - started_s < 20 * 3
