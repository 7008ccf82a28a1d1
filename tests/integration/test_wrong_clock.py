"""A worker whose clock is wrong tries again when its task has asked for it."""

from pathlib import Path

import pytest

from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import load_settings
from services import Services
from worker_process import running_worker

TESTS = Path(__file__).parents[1]
TASKS = "celeriac.tasks,probe_tasks"
COUNTDOWN_S = 2.0


@pytest.mark.parametrize("off_s", [3600, -3600], ids=["fast", "slow"])
def test_retry_waits_as_long_as_its_task_says(
    tmp_path: Path, services: Services, off_s: int
) -> None:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    runs = Runs.of(load_settings(join_stack=False, tasks=TASKS, **urls))
    wrong = {
        "CELERIAC_TASKS": TASKS,
        "CLOCK_OFF_S": str(off_s),
        "PYTHONPATH": f"{TESTS / 'wrong_clock'}:{TESTS}",
    }
    with running_worker(tmp_path, services.broker_url, services.redis_url, wrong):
        run = runs.submit("probe.wait_between", {"countdown": COUNTDOWN_S}, SubmitOptions())

        ended = runs.wait(run.id, 60)

    assert ended.state == "SUCCESS", ended
    # What this worker knows of the time is as exact as Redis' answer was quick.
    assert isinstance(ended.result, float)
    assert ended.result > COUNTDOWN_S / 2
