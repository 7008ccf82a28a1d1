"""What an app of ours publishes outside the web is told as submissions, and never twice."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from celeriac.app import create_app
from celeriac.events import STREAM, Event, EventKind
from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import Settings, load_settings
from eventually import eventually
from processes import free_port
from services import Services
from worker_process import CHATTY_ENVIRONMENT, running_worker


@pytest.fixture
def settings(services: Services, tmp_path: Path) -> Settings:
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        tasks="chatty_tasks",
        queues="nobody",
        data_dir=tmp_path,
    )


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs.of(settings)


@pytest.fixture(scope="module")
def worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_worker(tmp_path_factory.mktemp("worker"), *services, CHATTY_ENVIRONMENT):
        yield


def _events(services: Services) -> list[Event]:
    with redis.Redis.from_url(services.redis_url, decode_responses=True) as client:
        entries: Any = client.xrange(STREAM)
    return [Event.of_entry(entry_id, fields) for entry_id, fields in entries]


def _submissions(services: Services) -> list[Event]:
    return [event for event in _events(services) if event.kind is EventKind.SUBMITTED]


def _of(services: Services, run_id: str, kind: EventKind) -> list[Event]:
    return [e for e in _events(services) if (e.run_id, e.kind) == (run_id, kind)]


def _told(services: Services, run_id: str) -> list[Event]:
    return _of(services, run_id, EventKind.SUBMITTED)


def _known(runs: Runs, run_id: str) -> Run:
    return eventually(lambda: runs.get(run_id))


def test_run_that_waits_is_known_at_once(settings: Settings, runs: Runs) -> None:
    app = create_app(settings)

    sent = app.tasks["chatty.many"].apply_async(
        (3,), {"text": "row"}, queue="nobody", countdown=600, headers={"celeriac_tags": ["blue"]}
    )

    run = _known(runs, sent.id)
    assert (run.state, run.task, run.queue) == (RunState.SCHEDULED, "chatty.many", "nobody")
    assert (run.args, run.tags) == ({"lines": 3, "text": "row"}, ["blue"])
    assert run.submitted_at is not None and run.eta is not None
    assert 590 < (run.eta - run.submitted_at).total_seconds() < 610


def test_publishing_waits_for_no_redis(settings: Settings, runs: Runs) -> None:
    away = settings.model_copy(
        update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")}
    )
    app = create_app(away)
    with app.connection_for_write() as connection:
        connection.ensure_connection(timeout=10)
    before = runs.queues.get("nobody").ready or 0

    begun_s = time.monotonic()
    app.tasks["chatty.many"].apply_async((1,), queue="nobody")

    assert time.monotonic() - begun_s < 5
    eventually(lambda: runs.queues.get("nobody").ready == before + 1)


@pytest.mark.usefixtures("worker")
def test_what_tasks_start_is_told_once_and_so_are_retries(runs: Runs, services: Services) -> None:
    family, retried = _run(runs, "chatty.family", children=3), _run(runs, "chatty.retried")

    children = eventually(lambda: _children(services, family, 3))

    assert len(children) == len({event.run_id for event in children}) == 3
    assert {event.data["root_id"] for event in children} == {family}
    assert [len(_told(services, run_id)) for run_id in (family, retried)] == [1, 1]


@pytest.mark.usefixtures("worker")
def test_run_was_submitted_before_it_started(runs: Runs, services: Services) -> None:
    family = _run(runs, "chatty.family", children=20)

    children = eventually(lambda: _children(services, family, 20))

    for submission in children:
        runs.wait(submission.run_id, timeout_s=30)
        started = _of(services, submission.run_id, EventKind.STARTED)
        assert submission.at <= started[0].at


@pytest.mark.usefixtures("worker")
def test_attempt_ended_before_the_next_one_began(runs: Runs, services: Services) -> None:
    for _ in range(10):
        run_id = _run(runs, "chatty.retried")
        [retry] = eventually(partial(_of, services, run_id, EventKind.RETRY))
        first, second = _of(services, run_id, EventKind.STARTED)
        assert first.at <= retry.at <= second.at


def _run(runs: Runs, task: str, **args: Any) -> str:
    run_id = runs.submit(task, args, SubmitOptions()).id
    assert runs.wait(run_id, timeout_s=30).state is RunState.SUCCESS
    return run_id


def _children(services: Services, family: str, number: int) -> list[Event] | None:
    found = [e for e in _submissions(services) if e.data.get("parent_id") == family]
    return found if len(found) >= number else None


def test_what_comes_late_changes_nothing_of_the_run(
    settings: Settings, runs: Runs, services: Services
) -> None:
    app = create_app(settings)
    backend: Any = app.backend
    backend.store_result("early-bird", 7, "SUCCESS")

    app.tasks["chatty.many"].apply_async((1,), queue="nobody", task_id="early-bird")

    eventually(lambda: _told(services, "early-bird"))
    run = runs.get("early-bird")
    assert (run.state, run.task, run.result) == (RunState.SUCCESS, "chatty.many", 7)
