"""A run that has succeeded is not executed again, whatever the broker delivers after a crash."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chord, states
from celery.app.task import Context

from cancel_shop import Shop, shop_whose_redis_may_stop
from celeriac.app import create_app
from celeriac.events import RECORD_PREFIX, EventKind
from celeriac.runs import RunState
from celeriac.settings import load_settings
from eventually import eventually
from servers import RabbitMQServer
from services import Services


@pytest.fixture
def shop(services: Services, tmp_path: Path) -> Shop:
    return Shop(services, tmp_path)


@pytest.fixture
def app(shop: Shop) -> Iterator[Celery]:
    settings = load_settings(
        join_stack=False,
        broker_url=shop.services.broker_url,
        redis_url=shop.services.redis_url,
        tasks="cancel_tasks",
        data_dir=shop.folder,
    )
    app = create_app(settings, publisher=True)
    yield app
    app.close()


@pytest.mark.parametrize("task", ["deadly", "deadly_ignored"])
def test_run_whose_worker_died_after_its_success_is_executed_once(shop: Shop, task: str) -> None:
    with shop.worker() as worker:
        run_id = shop.submit(task, path=str(shop.trace(task)))
        eventually(lambda: not worker.is_running, deadline_s=30)

    with shop.worker() as worker:
        eventually(lambda: f"[{run_id}] ignored" in worker.log_path.read_text(), deadline_s=40)
        shop.let_pass()

    assert shop.executed(task) == ["executed"]
    assert shop.runs.get(run_id).state is RunState.SUCCESS
    kinds = [event.kind for event in shop.events(run_id)]
    assert (kinds.count(EventKind.STARTED), kinds.count(EventKind.SUCCEEDED)) == (1, 1)


def test_chord_goes_on_whose_part_succeeded_just_before_its_worker_died(
    shop: Shop, app: Celery
) -> None:
    path = str(shop.trace("part"))
    parts = [app.signature("cancel.deadly", (path,), task_id=each) for each in ("one", "two")]
    body = app.signature("cancel.gather", (str(shop.trace("body")),), task_id="body")
    chord(parts, app=app)(body)
    for part in ("one", "two"):
        request = Context(id=part, task="cancel.deadly", args=[path], kwargs={})
        app.backend.store_result(part, f"from {part}", states.SUCCESS, request=request)

    with shop.worker():
        shop.in_state("body", RunState.SUCCESS)

    assert shop.runs.get("body").result == ["from one", "from two"]
    assert (shop.executed("part"), shop.executed("body")) == ([], ["executed"])


def test_task_that_is_applied_in_another_one_is_no_run(shop: Shop) -> None:
    with shop.worker():
        run_id = shop.submit("applies", path=str(shop.trace("eager")))
        run = shop.in_state(run_id, RunState.SUCCESS)

    client: Any = redis.Redis.from_url(shop.services.redis_url)
    assert (run.result, shop.executed("eager")) == ("SUCCESS", ["executed"])
    assert (client.exists(RECORD_PREFIX + "eager"), shop.events("eager")) == (0, [])


def test_worker_answers_while_the_end_of_a_run_cannot_be_stored(
    rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    with (
        shop_whose_redis_may_stop(rabbitmq_server, tmp_path) as (shop, redis, client),
        shop.worker() as worker,
    ):
        redis.stop()
        path = str(shop.trace("expired"))
        run_id = client.send_task("cancel.plain", kwargs={"path": path}, expires=-60).id
        eventually(lambda: "Discarding revoked task" in worker.log_path.read_text())
        eventually(lambda: "Connection to Redis lost" in worker.log_path.read_text())

        assert client.control.inspect(timeout=5).ping()
        redis.start()
        run = shop.in_state(run_id, RunState.REVOKED)

    assert run.error and run.error.message == "expired"
    assert shop.executed("expired") == []


def test_worker_ends_while_the_end_of_a_run_cannot_be_stored(
    rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    with (
        shop_whose_redis_may_stop(rabbitmq_server, tmp_path) as (shop, redis, client),
        shop.worker() as worker,
    ):
        redis.stop()
        client.send_task("cancel.plain", kwargs={"path": "/nowhere"}, expires=-60)
        eventually(lambda: "Discarding revoked task" in worker.log_path.read_text())

        worker.stop()

        assert not worker.is_running
