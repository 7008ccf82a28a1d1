"""Short runs that are executed in bundles and told together: as any other run is to everybody."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.events import EventKind
from celeriac.runs import RunState
from eventually import eventually
from processes import ChildProcess
from services import Services
from twins import ENVIRONMENT, STEP, Twins
from worker_process import running_worker

OPTIONS = ("--concurrency", "4", "--prefetch-multiplier", "20")
TOLD = [EventKind.STARTED, EventKind.SUCCEEDED]
CELERYS = ["task-received", "task-started", "task-succeeded"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def worker(services: Services, folder: Path) -> Iterator[ChildProcess]:
    with running_worker(folder, *services, ENVIRONMENT, OPTIONS) as worker:
        yield worker


@pytest.fixture(scope="module")
def twins(services: Services, folder: Path, worker: ChildProcess) -> Twins:
    return Twins(services, folder)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(STEP, min_size=1, max_size=3), min_size=1, max_size=12))
def test_run_in_a_bundle_ends_as_one_by_itself_does(twins: Twins, runs: Any) -> None:
    bundled = [twins.submit("plain", steps=steps) for steps in runs]
    alone = [twins.submit("watched", steps=steps) for steps in runs]

    assert [*map(twins.told_of, bundled)] == [*map(twins.told_of, alone)]


@contextmanager
def celerys_events(twins: Twins) -> Iterator[dict[str, list[str]]]:
    """Give the types of Celery's events as Flower reads them, by run."""
    seen: dict[str, list[str]] = defaultdict(list)
    is_over = threading.Event()

    def note(event: Any) -> None:
        if event["type"].startswith("task-"):
            seen[event["uuid"]].append(event["type"])

    def listen() -> None:
        with twins.client.connection_for_read() as connection:
            receiver = twins.client.events.Receiver(connection, handlers={"*": note})
            with receiver.consumer_context() as (own, _, _):
                while not is_over.is_set():
                    try:
                        own.drain_events(timeout=0.2)
                    except TimeoutError:
                        is_listening.set()

    is_listening = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert is_listening.wait(30)
        yield seen
    finally:
        is_over.set()
        thread.join()


def test_flower_sees_each_run_of_a_bundle(twins: Twins) -> None:
    with celerys_events(twins) as seen:
        run_ids = [twins.submit("plain", steps=[["return", n]]) for n in range(60)]
        for number, run_id in enumerate(run_ids):
            assert twins.ended(run_id).result == number
        for run_id in run_ids:
            found = eventually(
                lambda run_id=run_id: seen[run_id] if len(seen[run_id]) >= 3 else None,
                deadline_s=30,
            )
            assert [each for each in found if each != "task-sent"] == CELERYS
            assert twins.kinds(run_id) == {1: TOLD}


def test_run_that_takes_long_keeps_none_that_was_to_be_short(twins: Twins, tmp_path: Path) -> None:
    there, awaited = tmp_path, tmp_path / "awaited"
    for run_id in [twins.submit("awaits_file", path=str(there)) for _ in range(80)]:
        twins.ended(run_id)

    paths = [awaited if n == 3 else there for n in range(40)]
    mixed = [twins.submit("awaits_file", path=str(path)) for path in paths]
    long = mixed.pop(3)
    for run_id in mixed:
        twins.ended(run_id)

    assert twins.runs.get(long).state is RunState.STARTED
    awaited.touch()
    assert twins.ended(long).result == "found"


def test_nothing_is_given_out_again_of_what_has_ended(
    services: Services, twins: Twins, worker: ChildProcess, tmp_path: Path
) -> None:
    run_ids = [twins.submit("plain", steps=[["return", n]]) for n in range(100)]
    for run_id in run_ids:
        twins.ended(run_id)
    worker.stop()

    with running_worker(tmp_path, *services, ENVIRONMENT, OPTIONS) as successor:
        twins.ended(twins.submit("plain", steps=[["return", 0]]))
        received = successor.log_path.read_text().count(" received")
    assert received == 1
