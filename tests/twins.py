"""A worker with the pool `hybrid`, and all that is told of the runs of `twin_tasks`."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import redis
from hypothesis import strategies as st

from celeriac.events import STREAM, Event, EventKind
from celeriac.runs import Run, Runs, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import foreign_client
from services import Services
from worker_process import CHATTY_ENVIRONMENT

ENVIRONMENT = {**CHATTY_ENVIRONMENT, "CELERIAC_TASKS": "twin_tasks", "CELERIAC_POOL": "hybrid"}
ENDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.REVOKED, EventKind.DEAD)
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.integers())
STEP = st.tuples(
    st.sampled_from(("return", "raise", "retry", "ignore", "reject", "progress", "connect")), VALUES
)


class Twins:
    """A worker with the pool `hybrid`, and what it writes."""

    def __init__(self, services: Services, folder: Path) -> None:
        urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
        self.runs = Runs.of(
            load_settings(join_stack=False, tasks="twin_tasks", data_dir=folder, **urls)
        )
        self.redis: Any = redis.Redis.from_url(services.redis_url, decode_responses=True)
        self.client = foreign_client(services.broker_url)
        conf: Any = self.client.conf
        conf.result_backend = services.redis_url

    def submit(self, task: str, **args: Any) -> str:
        return self.runs.submit(f"twins.{task}", args, SubmitOptions()).id

    def ended(self, run_id: str, *, within_s: float = 30) -> Run:
        eventually(lambda: self._has_ended(run_id), deadline_s=within_s)
        return self.runs.get(run_id)

    def kinds(self, run_id: str) -> dict[int, list[EventKind]]:
        """Give what happened in each attempt, in order; one may tell of its end after the next."""
        entries = (Event.of_entry(*entry) for entry in self.redis.xrange(STREAM))
        kinds: dict[int, list[EventKind]] = defaultdict(list)
        for event in entries:
            # Who submits may tell of it late, and of a dead letter it is told before its lines are.
            if event.run_id == run_id and event.kind not in (EventKind.SUBMITTED, EventKind.LOG):
                kinds[event.data["attempt"]].append(event.kind)
        return kinds

    def lines(self, run_id: str) -> list[str]:
        """Give what was logged."""
        entries = (Event.of_entry(*entry) for entry in self.redis.xrange(STREAM))
        lines = (each for each in entries if each.kind is EventKind.LOG and each.run_id == run_id)
        return sorted(line.data["text"] for line in lines)

    def told(self, task: str, steps: Any) -> tuple[Any, ...]:
        """Give all that is told of a run of this task."""
        return self.told_of(self.submit(task, steps=steps))

    def told_of(self, run_id: str) -> tuple[Any, ...]:
        """Give all that is told of a run, when it has ended."""
        run = self.ended(run_id)
        error = run.error and (run.error.type, run.error.message)
        meta = self.client.AsyncResult(run_id).backend.get_task_meta(run_id)
        result = repr(meta["result"])
        lines = eventually(lambda: self._all_lines(run_id, run.attempts), deadline_s=30)
        return run.state, run.attempts, run.result, error, self.kinds(run_id), lines, result

    def _all_lines(self, run_id: str, attempts: int) -> list[str] | None:
        lines = self.lines(run_id)  # There is one of each attempt.
        return lines if len(lines) == attempts else None

    def _has_ended(self, run_id: str) -> bool:
        attempts = self.kinds(run_id)
        over = all({*ENDS, EventKind.RETRY} & set(kinds) for kinds in attempts.values())
        return over and bool(attempts) and bool(set(ENDS) & set(attempts[max(attempts)]))
