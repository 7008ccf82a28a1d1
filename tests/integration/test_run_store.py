"""What a submission writes of a run, beside workers that are quicker."""

from datetime import UTC, datetime

import pytest
from celery import states

from celeriac.backend import RunBackend
from celeriac.events import STREAM
from celeriac.runs import Run, RunState
from celeriac.runs.store import CeleryResults, RunStore
from changed_run import store as store_state
from servers import RedisServer


@pytest.fixture
def store(backend: RunBackend, server: RedisServer) -> RunStore:
    results = CeleryResults(backend.get_key_for_task, backend.decode, backend.cancellation)
    return RunStore(server.url, results)


def _run(run_id: str = "one") -> Run:
    return Run(
        id=run_id,
        task="a.task",
        state=RunState.PENDING,
        args={"text": "ab"},
        queue="celery_see",
        submitted_at=datetime.now(UTC),
    )


def test_run_that_is_added_is_known_and_nobody_is_told_yet(
    store: RunStore, backend: RunBackend
) -> None:
    store.add(_run())
    store.add_all([_run("two"), _run("three")])

    found = [store.get(run_id) for run_id in ("one", "two", "three")]
    assert {(run.state, run.task, run.queue) for run in found} == {
        (RunState.PENDING, "a.task", "celery_see")
    }
    assert found[0].args == {"text": "ab"}
    assert backend.client.exists(STREAM) == 0


def test_run_that_is_added_again_after_it_began_stays_as_it_is(
    store: RunStore, backend: RunBackend
) -> None:
    store.add(_run())
    store_state(backend, states.STARTED)

    store.add(_run())
    store.add_all([_run()])

    assert store.get("one").state is RunState.STARTED


def test_run_whose_submission_is_taken_back_is_forgotten_unless_it_has_begun(
    store: RunStore, backend: RunBackend
) -> None:
    waiting = [_run("two"), _run("three")]
    store.add_all([_run(), *waiting])
    store_state(backend, states.STARTED)

    store.remove("two")
    store.remove("one")
    store.tell_all([], [_run(), _run("three")])

    assert not any(store.knows(run.id) for run in waiting)
    assert (store.get("one").state, store.get("one").args) == (RunState.STARTED, {"text": "ab"})
