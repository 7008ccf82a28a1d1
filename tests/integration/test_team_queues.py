"""A team's own Celery app on RabbitMQ keeps the queues that it declares, and has dead letters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state

from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import publish
from servers import RabbitMQServer, RedisServer
from worker_process import running_worker


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer, redis_server: RedisServer) -> Iterator[str]:
    redis_server.flush()
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_team_keeps_its_queues_and_has_dead_letters(
    rabbitmq_server: RabbitMQServer,
    redis_server: RedisServer,
    broker_url: str,
    plain_project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(plain_project)
    # Celery would give the project's tasks to every app that this process makes from now on.
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))
    urls = {"broker_url": broker_url, "redis_url": redis_server.url}
    app = {"CELERIAC_APP": "shop.celery_app:app"}
    with running_worker(plain_project, broker_url, redis_server.url, app):
        runs = Runs.of(load_settings(join_stack=False, app="shop.celery_app:app", **urls))
        run = runs.submit(
            "shop.tasks.add", {"x": 2}, SubmitOptions.of({"priority": 9, "countdown": 0.5})
        )
        ended = runs.wait(run.id, 30)
        unknown = publish(broker_url, "no.such.task", queue="celery")
        eventually(lambda: runs.get(unknown).state is RunState.DEAD, deadline_s=30)

        said = runs.queues.definitions.said_of_teams()
        log = (plain_project / "worker.log").read_text()
        [letter] = eventually(lambda: runs.dead_letters.find().letters, deadline_s=20)

    assert (ended.state, ended.result, ended.queue) == ("SUCCESS", 3, "celery")
    assert (letter.run_id, letter.queue) == (unknown, "celery")
    assert said and said.startswith("celery, mail, slow: declared by the app itself")
    assert log.count(said) == 1
    found: Any = rabbitmq_server.api("GET", f"queues/{broker_url.rpartition('/')[2]}")
    kinds = {queue["name"]: queue["type"] for queue in found}
    assert kinds["celery"] == "classic"
    assert not [name for name in kinds if name.endswith(".high") or "delayed" in name]
