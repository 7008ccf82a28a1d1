"""A worker of a team's own app makes dead letters by itself, however often its children die."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.runs import Letter, Runs, RunState
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import publish
from services import Services
from worker_process import running_worker

LIMIT = 1
TEAM = """
import os
from pathlib import Path

from celery import Celery

app = Celery("burial_team")


@app.task(name="team.die")
def die(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("executed\\n")
    os._exit(1)
"""


@pytest.fixture
def runs(services: Services, tmp_path: Path) -> Iterator[Runs]:
    (tmp_path / "burial_team.py").write_text(TEAM)
    more = {
        "CELERIAC_APP": "burial_team:app",
        "CELERIAC_DELIVERY_LIMIT": str(LIMIT),
    }
    with running_worker(tmp_path, *services, more):
        yield Runs.of(
            load_settings(
                join_stack=False,
                broker_url=services.broker_url,
                redis_url=services.redis_url,
                queue="celery",
            )
        )


def _letters(runs: Runs, count: int) -> list[Letter]:
    eventually(lambda: runs.dead_letters.find().total == count, deadline_s=40)
    return runs.dead_letters.find().letters


def test_worker_buries_again_after_its_children_died(
    services: Services, runs: Runs, tmp_path: Path
) -> None:
    for number in range(1, 4):
        path = tmp_path / f"path{number}"
        run_id = publish(services.broker_url, "team.die", queue="celery", path=str(path))

        assert run_id in [letter.run_id for letter in _letters(runs, number)]
        assert runs.get(run_id).state is RunState.DEAD
        assert len(path.read_text().splitlines()) == LIMIT + 1
