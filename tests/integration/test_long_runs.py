"""Runs that take long: limits, children that are replaced, RabbitMQ's patience, stalled workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from celeriac.events import STREAM, Event, EventKind
from celeriac.runs import Run, Runs, RunState, SubmitOptions, Worker
from celeriac.settings import load_settings
from eventually import eventually
from processes import ChildProcess
from servers import RabbitMQServer, RedisServer
from services import Services
from worker_process import running_worker

# The first of them waits for RabbitMQ to start, too.
pytestmark = pytest.mark.timeout(300)

TESTS = str(Path(__file__).parents[1])
ENVIRONMENT = {
    "CELERIAC_TASKS": "celeriac.tasks,long_tasks",
    "PYTHONPATH": TESTS,
}
LIMITED = {**ENVIRONMENT, "CELERIAC_TIME_LIMIT_S": "4"}
FOR_ONE_RUN = {**ENVIRONMENT, "CELERIAC_CHILD_MEMORY_MB": "16"}
"""No child of a worker has as little memory as that, so each executes one run."""
IMPATIENT = "application:set_env(rabbit, consumer_timeout, {}), "
IMPATIENT += "application:set_env(rabbit, channel_tick_interval, {})."


class Bench:
    """Submits runs and finds out what became of them."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.folder = folder
        urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
        tasks = "celeriac.tasks,long_tasks"
        self.runs = Runs.of(load_settings(join_stack=False, tasks=tasks, **urls))

    def submit(self, task: str, name: str, **args: str) -> str:
        given = {"path": str(self.folder / name), **args}
        return self.runs.submit(f"long.{task}", given, SubmitOptions()).id

    def ended(self, run_id: str) -> Run:
        return eventually(
            lambda: (run := self.runs.get(run_id)).state.finished and run, deadline_s=60
        )

    def noted(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def kinds(self, run_id: str) -> list[EventKind]:
        with Redis.from_url(self.services.redis_url, decode_responses=True) as client:
            entries: Any = client.xrange(STREAM)
        events = [Event.of_entry(*entry) for entry in entries]
        return [event.kind for event in events if event.run_id == run_id]

    def worker(self) -> Worker | None:
        return next((each for each in self.runs.workers.all() if each.state.is_alive), None)

    def let_pass(self) -> None:
        """Wait until a run has ended that was submitted after all others."""
        run = self.runs.submit("text.reverse", {"text": "ab"}, SubmitOptions())
        assert self.ended(run.id).state is RunState.SUCCESS


@pytest.fixture
def bench(services: Services, tmp_path: Path) -> Bench:
    return Bench(services, tmp_path)


def test_run_past_its_time_limit_has_failed_and_is_not_given_out_again(
    bench: Bench, tmp_path: Path
) -> None:
    with running_worker(tmp_path, *bench.services, LIMITED):
        run_id = bench.submit("until", "hard", told="/nowhere/at/all")
        run = bench.ended(run_id)
    with running_worker(tmp_path, *bench.services, ENVIRONMENT):
        bench.let_pass()

    assert run.state is RunState.FAILURE
    assert run.error and run.error.type == "TimeLimitExceeded"
    assert len(bench.noted("hard")) <= 1, "a slow machine may be at its limit before it notes it"
    assert bench.kinds(run_id).count(EventKind.FAILED) == 1


def test_run_past_its_soft_limit_cleans_up_and_has_failed(bench: Bench, tmp_path: Path) -> None:
    with running_worker(tmp_path, *bench.services, ENVIRONMENT):
        run = bench.ended(bench.submit("soft", "soft"))

    assert run.state is RunState.FAILURE
    assert run.error and run.error.type == "SoftTimeLimitExceeded"
    assert bench.noted("soft") == ["cleaned up"]


def test_child_that_is_replaced_for_its_memory_loses_no_run(bench: Bench, tmp_path: Path) -> None:
    with running_worker(tmp_path, *bench.services, FOR_ONE_RUN):
        ids = [bench.submit("process", f"process-{number}") for number in range(12)]
        runs = [bench.ended(run_id) for run_id in ids]

    assert {run.state for run in runs} == {RunState.SUCCESS}
    assert len({run.result for run in runs}) == len(runs), "each run has a child of its own"
    assert all(bench.noted(f"process-{number}") == ["executed"] for number in range(12))


def test_worker_that_has_grown_executes_more_at_once(bench: Bench, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with running_worker(tmp_path, *bench.services, ENVIRONMENT):
        worker = eventually(bench.worker, deadline_s=30)
        bench.runs.workers.grow(worker.name, 3)
        ids = [bench.submit("until", f"grown-{number}", told=str(told)) for number in range(5)]

        paths = [tmp_path / f"grown-{number}" for number in range(5)]
        eventually(lambda: all(path.exists() for path in paths), deadline_s=60)
        told.touch()
        runs = [bench.ended(run_id) for run_id in ids]

    assert {run.state for run in runs} == {RunState.SUCCESS}
    assert all(bench.noted(path.name) == ["executed"] for path in paths)


def test_worker_that_is_given_nothing_of_what_waits_connects_anew(
    bench: Bench, tmp_path: Path
) -> None:
    stalled = {
        **ENVIRONMENT,
        "CELERIAC_TASKS": "celeriac.tasks,long_tasks,stalled_worker",
        "CELERIAC_STALL_TIMEOUT_S": "1.5",
    }
    with running_worker(tmp_path, *bench.services, stalled) as worker:
        run = bench.ended(bench.submit("process", "stalled"))
        log = worker.log_path.read_text()

    assert run.state is RunState.SUCCESS
    assert "Nothing comes from celery_see, where messages wait: connecting anew." in log
    assert bench.noted("stalled") == ["executed"]


@pytest.fixture
def impatient_rabbitmq(rabbitmq_server: RabbitMQServer) -> Iterator[RabbitMQServer]:
    """Let RabbitMQ close each channel that holds a message for about two seconds."""
    rabbitmq_server.rabbitmqctl("eval", IMPATIENT.format(2000, 300))
    yield rabbitmq_server
    rabbitmq_server.rabbitmqctl("eval", IMPATIENT.format(1_800_000, 60_000))


def test_run_goes_on_that_takes_longer_than_rabbitmq_waits_for_it(
    impatient_rabbitmq: RabbitMQServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.flush()
    told = tmp_path / "told"
    with impatient_rabbitmq.fresh_vhost() as broker_url:
        bench = Bench(Services(broker_url, redis_server.url), tmp_path)
        with running_worker(tmp_path, *bench.services, ENVIRONMENT) as worker:
            run_id = bench.submit("until", "long", told=str(told))
            eventually(lambda: _came_again(worker, run_id) >= 2, deadline_s=60)
            told.touch()
            run = bench.ended(run_id)
            bench.let_pass()

    assert (run.state, run.result, run.attempts) == (RunState.SUCCESS, "long", 1)
    assert bench.noted("long") == ["executed"]


def _came_again(worker: ChildProcess, run_id: str) -> int:
    return worker.log_path.read_text().count(f"The message of run {run_id} came again")
