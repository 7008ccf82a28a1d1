"""Workers on a Redis broker, when one of them, or the server, is killed."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from celeriac.unacked import Unacked
from eventually import eventually
from executions import COUNTED_IN, executions
from processes import ChildProcess
from servers import RedisServer
from services import Services
from worker_process import (
    CHATTY_ENVIRONMENT,
    STARTS_WITHIN_S,
    celeriac_environment,
    running_worker,
)


@pytest.fixture
def client(valkey_server: RedisServer) -> Iterator[Any]:
    valkey_server.flush()
    with valkey_server.client() as client:
        yield client


@pytest.fixture
def services(valkey_server: RedisServer, client: Any) -> Services:
    return Services(valkey_server.url, valkey_server.url.removesuffix("/0") + "/1")


@pytest.fixture
def counted(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a worker whose executions are counted."""
    path = str(tmp_path / "executions")
    return {**CHATTY_ENVIRONMENT, "CELERIAC_TASKS": "counted_tasks", COUNTED_IN: path}


def _runs(services: Services, tasks: str = "celeriac.tasks") -> Runs:
    return Runs.of(load_settings(join_stack=False, tasks=tasks, **services._asdict()))


def test_run_outlives_a_worker_that_was_killed_while_it_waited(
    services: Services, tmp_path: Path
) -> None:
    runs = _runs(services)
    with running_worker(tmp_path, *services) as worker:
        worker.freeze()
        run = runs.submit("text.reverse", {"text": "abc"}, SubmitOptions())
        worker.kill()
        worker.start()

        assert runs.wait(run.id, 40).state is RunState.SUCCESS


@pytest.mark.parametrize(
    ("first", "second"), [((), ()), (("-n", "a@%h"), ("-n", "b@%h"))], ids=["same-name", "-n"]
)
def test_worker_leaves_what_another_of_its_host_executes(
    services: Services,
    counted: dict[str, str],
    tmp_path: Path,
    first: tuple[str, ...],
    second: tuple[str, ...],
) -> None:
    runs = _runs(services, "counted_tasks")
    with ExitStack() as workers:
        workers.enter_context(_worker(tmp_path / "first", services, counted, first))
        run = runs.submit("counted.reverse", {"text": "abc", "pause_s": 18}, SubmitOptions())
        eventually(lambda: executions(Path(counted[COUNTED_IN])))
        workers.enter_context(_worker(tmp_path / "second", services, counted, second))

        assert runs.wait(run.id, 40).state is RunState.SUCCESS
        assert executions(Path(counted[COUNTED_IN])) == {run.id: 1}


@contextmanager
def _worker(
    folder: Path, services: Services, environment: Mapping[str, str], options: tuple[str, ...]
) -> Iterator[None]:
    folder.mkdir()
    with running_worker(folder, *services, more=environment, options=options):
        yield


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "hybrid"])
def test_worker_holds_what_it_executes_in_any_pool(
    services: Services, client: Any, counted: dict[str, str], tmp_path: Path, pool: str
) -> None:
    runs = _runs(services, "counted_tasks")
    with _worker(tmp_path / "worker", services, counted, ("--pool", pool)):
        run = runs.submit("counted.reverse", {"text": "abc", "pause_s": 2}, SubmitOptions())
        eventually(lambda: executions(Path(counted[COUNTED_IN])), deadline_s=30)

        (spoken,) = eventually(lambda: Unacked(client).holders(), deadline_s=30)
        assert len(Unacked(client).held_since(spoken.holder, 0)) == 1
        assert runs.wait(run.id, 40).state is RunState.SUCCESS


def test_worker_of_celerys_own_command_holds_what_it_takes_by_its_name(
    services: Services, client: Any, tmp_path: Path
) -> None:
    worker = ChildProcess(
        command=[sys.executable, "-m", "celery", "-A", "celeriac", "worker", "-n", "plain@%h"],
        log_path=tmp_path / "worker.log",
        env=celeriac_environment(tmp_path, *services),
        cwd=tmp_path,
    )
    worker.start()
    try:
        (spoken,) = eventually(lambda: Unacked(client).holders(), deadline_s=STARTS_WITHIN_S)
        assert spoken.holder.startswith("plain@")
    finally:
        worker.stop()
    assert Unacked(client).holders() == []


def test_worker_goes_on_when_the_server_was_killed_during_a_run(
    services: Services, valkey_server: RedisServer, counted: dict[str, str], tmp_path: Path
) -> None:
    runs = _runs(services, "counted_tasks")
    with running_worker(tmp_path, *services, more=counted) as worker:
        run = runs.submit("counted.reverse", {"text": "abc", "pause_s": 4}, SubmitOptions())
        eventually(lambda: executions(Path(counted[COUNTED_IN])))
        valkey_server.kill()
        valkey_server.start()

        assert runs.wait(run.id, 40).state is RunState.SUCCESS
        later = runs.submit("counted.reverse", {"text": "abc"}, SubmitOptions())
        assert runs.wait(later.id, 40).state is RunState.SUCCESS
        worker.check_running()
        assert "Unrecoverable" not in worker.log_path.read_text()
