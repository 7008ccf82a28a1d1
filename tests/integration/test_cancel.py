"""A cancelled run never starts, in any pool, and whatever happens to the workers."""

from pathlib import Path

import pytest
from celery import Celery

from cancel_shop import Shop, shop_whose_redis_may_stop
from celeriac.errors import RunFinishedError, RunNotFoundError
from celeriac.events import EventKind
from celeriac.runs import RunState
from eventually import eventually
from foreign_client import foreign_client
from processes import free_port
from servers import RabbitMQServer
from services import Services

POOLS = ("prefork", "threads", "solo", "hybrid")
TRACING = ("plain", "prepared", "twice_prepared", "ignored", "untracked")


@pytest.fixture
def shop(services: Services, tmp_path: Path) -> Shop:
    return Shop(services, tmp_path)


@pytest.mark.parametrize("pool", POOLS)
def test_runs_that_were_cancelled_while_all_workers_were_off_never_start(
    shop: Shop, pool: str
) -> None:
    waiting = {name: shop.submit(name, path=str(shop.trace(name))) for name in TRACING}
    waiting["held"] = shop.submit("plain", path=str(shop.trace("held")), countdown=0.5)

    for run_id in waiting.values():
        assert shop.runs.cancel(run_id).state is RunState.REVOKED
    with shop.worker(pool):
        shop.let_pass(countdown=1)

    assert [shop.executed(name) for name in waiting] == [[]] * len(waiting)
    for run_id in waiting.values():
        shop.assert_never_started(run_id)


@pytest.mark.parametrize("pool", POOLS)
def test_runs_that_nobody_cancelled_start_as_ever(shop: Shop, pool: str) -> None:
    ids = {name: shop.submit(name, path=str(shop.trace(name))) for name in TRACING}

    with shop.worker(pool):
        ended = {name: shop.in_state(run_id, RunState.SUCCESS) for name, run_id in ids.items()}

    assert [run.attempts for run in ended.values()] == [1] * len(ids)
    assert {name: shop.executed(name) for name in ids} == {
        "plain": ["executed"],
        "prepared": ["prepared", "executed"],
        "twice_prepared": ["prepared", "prepared again", "executed"],
        "ignored": ["executed"],
        "untracked": ["executed"],
    }
    for run_id in ids.values():
        kinds = [event.kind for event in shop.events(run_id)]
        assert kinds.count(EventKind.STARTED) == 1


def test_celerys_own_result_of_a_cancelled_run_is_that_of_a_revoke(shop: Shop) -> None:
    run_id = shop.submit("plain", path=str(shop.trace("plain")))

    shop.runs.cancel(run_id)

    assert shop.meta(run_id)["status"] == "REVOKED"
    assert shop.meta(run_id)["result"] == {
        "exc_type": "TaskRevokedError", "exc_message": ["revoked"],
        "exc_module": "celery.exceptions",
    }  # fmt: skip


def test_run_of_a_foreign_client_that_nobody_knows_yet_never_starts(shop: Shop) -> None:
    client = foreign_client(shop.services.broker_url)
    run_id = client.send_task("cancel.plain", kwargs={"path": str(shop.trace("foreign"))}).id
    client.close()

    with pytest.raises(RunNotFoundError, match="foreign"):
        shop.runs.cancel(run_id)
    shop.runs.cancel(run_id, foreign=True)
    with shop.worker():
        shop.let_pass()

    assert shop.executed("foreign") == []
    shop.assert_never_started(run_id)


def test_held_run_that_is_cancelled_while_its_worker_restarts_never_starts(shop: Shop) -> None:
    with shop.worker() as worker:
        run_id = shop.submit("plain", path=str(shop.trace("held")), countdown=5)
        shop.let_pass()  # A message that came later has been taken, so this one too.
        worker.kill()

    shop.runs.cancel(run_id)
    with shop.worker():
        shop.let_pass(countdown=6)

    assert shop.executed("held") == []
    shop.assert_never_started(run_id)


def test_run_that_no_pool_can_end_and_that_fails_ends_as_revoked(shop: Shop) -> None:
    told = shop.trace("told")
    with shop.worker("threads"):
        run_id = shop.submit("fails_when_told", path=str(shop.trace("fails")), told=str(told))
        eventually(lambda: shop.executed("fails"), deadline_s=20)

        assert shop.runs.cancel(run_id).state is RunState.STARTED
        told.touch()
        run = shop.in_state(run_id, RunState.REVOKED)

    assert run.error and run.error.message == "revoked"
    assert EventKind.FAILED not in [event.kind for event in shop.events(run_id)]


def test_waiting_run_is_cancelled_while_the_broker_is_away(shop: Shop) -> None:
    run_id = shop.submit("plain", path=str(shop.trace("plain")))
    without_broker = shop.runs_with(f"amqp://127.0.0.1:{free_port()}//")

    assert without_broker.cancel(run_id).state is RunState.REVOKED
    with shop.worker():
        shop.let_pass()

    assert shop.executed("plain") == []


def test_run_that_has_ended_cannot_be_cancelled(shop: Shop) -> None:
    run_id = shop.submit("plain", path=str(shop.trace("plain")))
    shop.runs.cancel(run_id)

    with pytest.raises(RunFinishedError):
        shop.runs.cancel(run_id)


def test_plain_revoke_of_any_celery_client_holds_over_a_restart(shop: Shop) -> None:
    client = Celery("elsewhere", broker=shop.services.broker_url, set_as_current=False)
    with shop.worker():
        run_id = shop.submit("plain", path=str(shop.trace("plain")), countdown=4)
        shop.let_pass()
        client.control.revoke(run_id)
        shop.in_state(run_id, RunState.REVOKED)
    client.close()

    with shop.worker():
        shop.let_pass(countdown=5)

    assert shop.executed("plain") == []


@pytest.mark.parametrize("task", ["plain", "ignored"])
def test_run_whose_start_cannot_be_asked_for_waits_and_is_not_lost(
    rabbitmq_server: RabbitMQServer, tmp_path: Path, task: str
) -> None:
    with (
        shop_whose_redis_may_stop(rabbitmq_server, tmp_path) as (shop, redis, client),
        shop.worker() as worker,
    ):
        redis.stop()
        path = str(shop.trace(task))
        run_id = client.send_task(f"cancel.{task}", kwargs={"path": path}).id
        eventually(lambda: "Connection to Redis lost" in worker.log_path.read_text())
        assert shop.executed(task) == []
        redis.start()

        shop.in_state(run_id, RunState.SUCCESS)

    assert shop.executed(task) == ["executed"]
