"""A run whose worker is killed while it executes it: what people see of both executions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cancel_shop import Shop
from celeriac.history import History
from celeriac.runs import RunState
from celeriac.settings import load_settings
from celeriac.web import create_app
from eventually import eventually
from recording import Recording
from services import Services
from worker_process import CANCEL_ENVIRONMENT, running_worker


@pytest.fixture
def shop(services: Services, tmp_path: Path) -> Shop:
    return Shop(services, tmp_path)


@pytest.fixture
def client(shop: Shop) -> Iterator[FlaskClient]:
    """Ask a web whose history is being written."""
    settings = load_settings(
        join_stack=False,
        broker_url=shop.services.broker_url,
        redis_url=shop.services.redis_url,
        data_dir=shop.folder,
    )
    history = History(settings.history_address)
    history.migrate()
    with Recording(shop.services.redis_url, history):
        yield create_app(settings, shop.runs).test_client()
    history.close()
    shop.runs.history.close()


def _two_starts(client: FlaskClient, run_id: str) -> list[dict[str, Any]]:
    def attempts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"/api/v1/runs/{run_id}/attempts").json["attempts"]
        return found

    eventually(lambda: [each["state"] for each in attempts()][1:] == ["FAILURE"])
    return attempts()


def test_execution_whose_worker_was_killed_stays_in_sight_as_an_attempt_of_its_own(
    shop: Shop, client: FlaskClient
) -> None:
    told = shop.folder / "told"
    run_id = shop.submit("fails_when_told", path=str(shop.trace("killed")), told=str(told))
    with shop.worker() as worker:
        shop.in_state(run_id, RunState.STARTED)
        eventually(lambda: shop.executed("killed") == ["executed"])
        worker.kill()

    with shop.worker():
        eventually(lambda: shop.executed("killed") == ["executed"] * 2, deadline_s=40)
        told.touch()
        shop.in_state(run_id, RunState.FAILURE)

    lost, last = _two_starts(client, run_id)
    assert (lost["number"], lost["lost"], last["number"], last["lost"]) == (1, True, 1, False)
    assert (lost["state"], lost["start"], last["start"]) == ("LOST", 1, 2)
    assert lost["started_at"] < last["started_at"]
    page = client.get(f"/runs/{run_id}", headers={"Accept": "text/html"}).text
    assert page.count("Attempt 1, start 1 — worker lost or stopped") == 1


def test_execution_that_a_stopping_worker_handed_back_says_so(
    shop: Shop, client: FlaskClient
) -> None:
    hasty = {**CANCEL_ENVIRONMENT, "CELERIAC_STOP_GRACE_S": "0"}
    told = shop.folder / "told"
    run_id = shop.submit("fails_when_told", path=str(shop.trace("long")), told=str(told))
    with running_worker(shop.folder, *shop.services, hasty) as worker:
        eventually(lambda: shop.executed("long") == ["executed"])
        assert worker.stop() == 0

    told.touch()
    with shop.worker():
        shop.in_state(run_id, RunState.FAILURE)

    first, last = _two_starts(client, run_id)
    assert (first["state"], first["lost"], first["start"]) == ("HANDED_BACK", True, 1)
    assert first["started_at"] < first["finished_at"] <= last["started_at"]
    page = client.get(f"/runs/{run_id}", headers={"Accept": "text/html"}).text
    assert page.count("Attempt 1, start 1 — handed back by a stopping worker") == 1
