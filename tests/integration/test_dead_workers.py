"""A run that takes the whole worker with it ends as a dead letter, on every broker."""

from pathlib import Path

from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import publish
from services import Services
from worker_process import running_worker, worker_process

TESTS = str(Path(__file__).parents[1])
PROBES = {
    "CELERIAC_TASKS": "celeriac.tasks,probe_tasks",
    "PYTHONPATH": TESTS,
    "CELERIAC_DELIVERY_LIMIT": "1",
}


def test_run_that_kills_its_worker_each_time_ends_dead(services: Services, tmp_path: Path) -> None:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    runs = Runs.of(load_settings(join_stack=False, **urls))
    runs.submit("text.reverse", {"text": "ab"}, SubmitOptions())  # It declares the queue.
    path = tmp_path / "executions"
    poison = publish(services.broker_url, "probe.kill_worker", path=str(path))

    for _ in range(2):
        worker = worker_process(tmp_path, *services, PROBES)
        worker.start()
        eventually(lambda worker=worker: not worker.is_running, deadline_s=60)
    with running_worker(tmp_path, *services, PROBES):
        ended = eventually(lambda: (run := runs.get(poison)).state.finished and run, deadline_s=60)

    assert (ended.state, len(path.read_text().splitlines())) == (RunState.DEAD, 2)
