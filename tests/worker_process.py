"""A worker as a process of its own, on a test's servers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from eventually import eventually
from processes import ChildProcess
from servers import clean_environment

STARTS_WITHIN_S = 90
CHATTY_ENVIRONMENT = {"CELERIAC_TASKS": "chatty_tasks", "PYTHONPATH": str(Path(__file__).parent)}
"""Lets a worker run the tasks of `chatty_tasks`."""
CANCEL_ENVIRONMENT = {**CHATTY_ENVIRONMENT, "CELERIAC_TASKS": "cancel_tasks"}
"""Lets a worker run the tasks of `cancel_tasks`."""


def celeriac_environment(folder: Path, broker_url: str, redis_url: str) -> dict[str, str]:
    """Give the environment of a process that uses these servers and nothing of the machine's."""
    urls = {"CELERIAC_BROKER_URL": broker_url, "CELERIAC_REDIS_URL": redis_url}
    return clean_environment(folder, **urls)


def worker_process(
    folder: Path,
    broker_url: str,
    redis_url: str,
    more: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> ChildProcess:
    """Give `celeriac worker`, not started yet."""
    return ChildProcess(
        command=[sys.executable, "-m", "celeriac", "worker", "--concurrency", "2", *options],
        log_path=folder / "worker.log",
        env={**celeriac_environment(folder, broker_url, redis_url), **(more or {})},
        cwd=folder,
    )


@contextmanager
def running_worker(
    folder: Path,
    broker_url: str,
    redis_url: str,
    more: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[ChildProcess]:
    """Run `celeriac worker` until the block ends; gives it when it is ready."""
    with running(worker_process(folder, broker_url, redis_url, more, options)) as worker:
        yield worker


@contextmanager
def running(worker: ChildProcess) -> Iterator[ChildProcess]:
    """Run any worker of Celery's until the block ends; gives it when it is ready."""
    worker.start()
    try:
        eventually(
            lambda: not worker.is_running or "ready." in worker.log_path.read_text(),
            deadline_s=STARTS_WITHIN_S,
        )
        worker.check_running()
        yield worker
    finally:
        if worker.is_running:
            worker.stop()
