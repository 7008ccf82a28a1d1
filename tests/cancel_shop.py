"""What the tests of cancels do with runs: submit, cancel, and look at every place that tells."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from celeriac.events import STREAM, Event, EventKind
from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import foreign_client
from processes import ChildProcess
from servers import RabbitMQServer, RedisServer, redis_server
from services import Services
from worker_process import CANCEL_ENVIRONMENT, running_worker


class Shop:
    """What a test does with runs on a pair of servers that hold nothing yet."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.folder = folder
        self.runs = self.runs_with(services.broker_url)
        self._redis: Any = redis.Redis.from_url(services.redis_url, decode_responses=True)
        self._redis.flushdb()

    def runs_with(self, broker_url: str) -> Runs:
        settings = load_settings(
            join_stack=False,
            broker_url=broker_url,
            redis_url=self.services.redis_url,
            tasks="cancel_tasks",
            data_dir=self.folder,
        )
        return Runs.of(settings)

    def worker(self, pool: str = "prefork", *options: str) -> AbstractContextManager[ChildProcess]:
        options = ("--pool", pool, *options)
        (self.folder / "worker.log").unlink(missing_ok=True)
        return running_worker(self.folder, *self.services, CANCEL_ENVIRONMENT, options)

    def submit(self, task: str, countdown: float | None = None, **args: Any) -> str:
        options = SubmitOptions(countdown=countdown)
        return self.runs.submit(f"cancel.{task}", args, options).id

    def trace(self, name: str) -> Path:
        return self.folder / name

    def executed(self, name: str) -> list[str]:
        path = self.trace(name)
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def events(self, run_id: str) -> list[Event]:
        entries = (Event.of_entry(*entry) for entry in self._redis.xrange(STREAM))
        return [event for event in entries if event.run_id == run_id]

    def meta(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._redis.get(f"celery-task-meta-{run_id}"))
        return found

    def in_state(self, run_id: str, state: RunState, deadline_s: float = 30) -> Run:
        eventually(lambda: self.runs.get(run_id).state is state, deadline_s=deadline_s)
        return self.runs.get(run_id)

    def let_pass(self, countdown: float | None = None) -> None:
        """Wait until a run has ended that was submitted after all others."""
        run_id = self.submit("plain", path=str(self.trace("sentinel")), countdown=countdown)
        self.in_state(run_id, RunState.SUCCESS)

    def assert_never_started(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        assert (run.state, run.started_at, run.attempts) == (RunState.REVOKED, None, 0)
        assert run.error and (run.error.type, run.error.message) == ("TaskRevokedError", "revoked")
        kinds = [event.kind for event in self.events(run_id)]
        assert EventKind.STARTED not in kinds
        assert kinds.count(EventKind.REVOKED) == 1


@contextmanager
def shop_whose_redis_may_stop(
    rabbitmq: RabbitMQServer, folder: Path
) -> Iterator[tuple[Shop, RedisServer, Celery]]:
    """Give a shop on a Redis of its own, and another Celery client, which needs none."""
    with (
        redis_server(folder) as redis,
        rabbitmq.fresh_vhost() as broker_url,
        foreign_client(broker_url) as client,
    ):
        yield Shop(Services(broker_url, redis.url), folder), redis, client
