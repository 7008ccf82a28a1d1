"""Cancelling what executes, and other ends of a run, beside a worker that goes on through it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from cancel_shop import Shop
from celeriac.errors import RunFinishedError, WorkerUntoldError
from celeriac.events import EventKind
from celeriac.history import History
from celeriac.recorder import Recorder
from celeriac.runs import RunState
from celeriac.settings import load_settings
from celeriac.web import create_app
from eventually import eventually
from processes import free_port
from services import Services


@pytest.fixture(scope="module")
def shop(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(services, tmp_path_factory.mktemp("shop"))
    with shop.worker("prefork", "--concurrency", "4"):
        yield shop


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give one kind of history: this is about what goes into any."""
    history = History(f"sqlite:///{tmp_path}/history.db")
    history.migrate()
    yield history
    history.close()


def test_run_that_executes_is_ended_and_its_neighbours_go_on(shop: Shop, history: History) -> None:
    victim = shop.submit("long", path=str(shop.trace("victim")))
    neighbour = shop.submit("long", path=str(shop.trace("neighbour")), seconds=3)
    eventually(lambda: shop.executed("victim") and shop.executed("neighbour"), deadline_s=20)

    assert shop.runs.cancel(victim).state is RunState.STARTED
    ended = shop.in_state(victim, RunState.REVOKED)
    shop.in_state(neighbour, RunState.SUCCESS)
    shop.let_pass()

    assert ended.started_at and ended.finished_at and ended.worker
    assert ended.error and ended.error.message == "terminated"
    assert [e.kind for e in shop.events(victim)].count(EventKind.REVOKED) == 1
    assert shop.meta(victim)["status"] == "REVOKED"
    _record(shop, history)
    assert (row := history.get(victim)) and (row.state, row.attempts) == ("REVOKED", 1)
    assert len(shop.executed("victim")) == 1


def test_run_that_was_cancelled_between_two_attempts_gets_no_other(
    shop: Shop, history: History
) -> None:
    run_id = shop.submit("retried", path=str(shop.trace("retried")), pause_s=4)
    shop.in_state(run_id, RunState.RETRY)

    cancelled = shop.runs.cancel(run_id)
    shop.let_pass(countdown=5)

    assert cancelled.state is RunState.REVOKED
    assert (run := shop.runs.get(run_id)).state is RunState.REVOKED and run.attempts == 1
    assert shop.executed("retried") == ["executed"]
    _record(shop, history)
    assert (row := history.get(run_id)) and (row.state, row.attempts) == ("REVOKED", 1)


def test_cancel_of_a_run_that_executes_says_that_its_worker_could_not_be_told(
    shop: Shop,
) -> None:
    broker_url = f"amqp://127.0.0.1:{free_port()}//"
    without_broker = shop.runs_with(broker_url)
    settings = load_settings(join_stack=False, redis_url=shop.services.redis_url)
    api = create_app(settings, without_broker).test_client()
    run_id = shop.submit("long", path=str(shop.trace("long")))
    eventually(lambda: shop.executed("long"), deadline_s=20)

    with pytest.raises(WorkerUntoldError):
        without_broker.cancel(run_id)
    answer = api.post(f"/api/v1/runs/{run_id}/cancel")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "worker_untold")
    assert answer.headers["Retry-After"]

    shop.runs.cancel(run_id)  # The broker is back.
    shop.in_state(run_id, RunState.REVOKED)


def test_runs_that_are_cancelled_while_they_start_are_ended_or_never_start(
    shop: Shop, history: History
) -> None:
    count = 40

    def submit_and_cancel(number: int) -> str:
        run_id = shop.submit("long", path=str(shop.trace(f"race-{number}")))
        if number % 3:  # Some are cancelled at once, some when a worker may have them.
            Flag().wait(number % 7 * 0.05)
        shop.runs.cancel(run_id)
        return run_id

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(submit_and_cancel, range(count)))
        for run_id in ids:
            shop.in_state(run_id, RunState.REVOKED, deadline_s=60)
        shop.let_pass()

    _record(shop, history)
    for number, run_id in enumerate(ids):
        started = [e for e in shop.events(run_id) if e.kind is EventKind.STARTED]
        # Between telling of its start and the first line of the task it may have been ended.
        assert len(shop.executed(f"race-{number}")) <= len(started) <= 1
        assert shop.meta(run_id)["status"] == "REVOKED"
        assert (row := history.get(run_id)) and row.state == "REVOKED"
        assert [e.kind for e in shop.events(run_id)].count(EventKind.REVOKED) == 1


def test_run_that_follows_an_ended_one_in_the_same_process_is_not_lost(shop: Shop) -> None:
    ids = [
        shop.submit("long", path=str(shop.trace(f"short-{number}")), seconds=0.02)
        for number in range(120)
    ]
    doomed = set(ids[::2])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: _cancel_if_possible(shop, each), doomed))
    for run_id in set(ids) - doomed:
        shop.in_state(run_id, RunState.SUCCESS, deadline_s=60)
    for run_id in doomed:
        eventually(lambda each=run_id: shop.runs.get(each).state.finished, deadline_s=60)


def _cancel_if_possible(shop: Shop, run_id: str) -> None:
    eventually(lambda: shop.runs.get(run_id).state is not RunState.PENDING, deadline_s=60)
    with suppress(RunFinishedError):
        shop.runs.cancel(run_id)


def test_run_whose_result_is_ignored_shows_its_retry_and_its_failure(shop: Shop) -> None:
    run_id = shop.submit("fails_ignored")
    run = shop.in_state(run_id, RunState.FAILURE)
    kinds = eventually(
        lambda: (found := {e.kind for e in shop.events(run_id)}) >= {"retry"} and found
    )

    assert {EventKind.STARTED, EventKind.RETRY, EventKind.FAILED} <= kinds
    assert (run.attempts, run.error and run.error.message) == (2, "no use")


def test_task_that_raises_ignore_ends_its_run(shop: Shop) -> None:
    run = shop.in_state(shop.submit("shrugs"), RunState.REVOKED)
    own = shop.in_state(shop.submit("shrugs_after", state="FAILURE"), RunState.FAILURE)
    odd_id = shop.submit("shrugs_after", state="SKIPPED")
    odd = shop.in_state(odd_id, RunState.REVOKED)
    rejected = shop.in_state(shop.submit("rejected"), RunState.DEAD)

    assert run.finished_at and run.error and run.error.message == "ignored by its task"
    assert own.error and own.error.message == "mine"
    assert odd.error and odd.error.message == "ignored by its task"
    assert shop.meta(odd_id)["status"] == "SKIPPED"
    assert rejected.error


def test_task_that_is_replaced_goes_on(shop: Shop) -> None:
    run_id = shop.submit("replaced", path=str(shop.trace("replaced")))
    shop.in_state(run_id, RunState.SUCCESS)

    assert shop.executed("replaced") == ["executed"]
    assert EventKind.REVOKED not in [event.kind for event in shop.events(run_id)]


def _record(shop: Shop, history: History) -> None:
    """Let a recorder take all that has happened."""
    stop = Flag()
    recorder = Recorder(shop.services.redis_url, history, keep=timedelta(days=90))
    thread = Thread(target=recorder.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: recorder.lag() == 0, deadline_s=20)
    finally:
        stop.set()
        thread.join(10)
