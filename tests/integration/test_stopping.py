"""A worker that is told to stop ends soon, whatever it does, and nothing that it had is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cancel_shop import Shop
from celeriac.runs import RunState
from eventually import eventually
from foreign_client import foreign_client
from processes import ChildProcess
from servers import RabbitMQServer
from services import Services
from worker_process import CANCEL_ENVIRONMENT, running_worker

LARGE = 300_000
"""More than a pipe holds."""
SOON_S = 20
pytestmark = pytest.mark.timeout(300)
PATIENT = {"CELERIAC_STOP_GRACE_S": "3600"}


@pytest.fixture
def shop(services: Services, tmp_path: Path) -> Shop:
    return Shop(services, tmp_path)


@pytest.mark.parametrize("size", [10, LARGE])
def test_worker_ends_although_a_child_has_not_begun_what_it_was_given(
    shop: Shop, size: int
) -> None:
    with _worker(shop, "old", more=PATIENT) as worker:
        children = psutil.Process(worker.pid).children()
        for child in children:
            child.suspend()
        run_id = shop.submit("said", path=str(shop.trace("said")), text="x" * size)
        _gives_to_a_child(shop)

        _ask_to_stop(worker)
        for child in children:
            child.resume()
        eventually(lambda: not worker.is_running, deadline_s=SOON_S)

    assert shop.executed("said") == [str(size)]
    assert shop.runs.get(run_id).state is RunState.SUCCESS


@pytest.mark.parametrize("pool", ["prefork", "threads", "hybrid"])
def test_what_a_stopping_worker_has_fetched_is_executed_elsewhere_while_it_finishes(
    shop: Shop, pool: str
) -> None:
    told = shop.trace("told")
    with _worker(shop, "old", "--pool", pool, "--prefetch-multiplier", "4", more=PATIENT) as old:
        long = [
            shop.submit("fails_when_told", path=str(shop.trace("long")), told=str(told))
            for _ in range(2)
        ]
        eventually(lambda: len(shop.executed("long")) == 2, deadline_s=SOON_S)
        fetched = [shop.submit("plain", path=str(shop.trace("fetched"))) for _ in range(3)]
        # RabbitMQ itself keeps what is due later.
        later = [] if shop.services.broker_url.startswith("amqp") else [_submit_later(shop)]
        for run_id in [*fetched, *later]:
            _receives(old, run_id)

        _ask_to_stop(old)
        with _worker(shop, "new", "--pool", "solo") as new:
            for run_id in fetched:
                shop.in_state(run_id, RunState.SUCCESS)
            for run_id in later:
                _receives(new, run_id)
            assert old.is_running
            told.touch()
            eventually(lambda: not old.is_running, deadline_s=SOON_S)

    assert [shop.runs.get(run_id).state for run_id in long] == [RunState.FAILURE] * 2
    assert (len(shop.executed("long")), len(shop.executed("fetched"))) == (2, 3)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "hybrid"])
def test_worker_hands_back_what_it_cannot_finish_in_time(shop: Shop, pool: str) -> None:
    told = shop.trace("told")
    more = {"CELERIAC_STOP_GRACE_S": "0.5"}
    with _worker(shop, "old", "--pool", pool, more=more) as old:
        run_id = shop.submit("fails_when_told", path=str(shop.trace("long")), told=str(told))
        eventually(lambda: shop.executed("long"), deadline_s=SOON_S)
        assert old.stop() == 0

    assert shop.runs.get(run_id).state is RunState.STARTED
    told.touch()
    with _worker(shop, "new", "--pool", "solo"):
        shop.in_state(run_id, RunState.FAILURE)
    assert len(shop.executed("long")) == 2


@pytest.mark.parametrize("pool", ["prefork", "threads", "hybrid"])
def test_run_that_stopping_workers_hand_back_comes_no_nearer_to_its_limit(
    shop: Shop, pool: str
) -> None:
    told = shop.trace("told")
    more = {"CELERIAC_STOP_GRACE_S": "0", "CELERIAC_DELIVERY_LIMIT": "1"}
    run_id = shop.submit("fails_when_told", path=str(shop.trace("long")), told=str(told))
    for count in (1, 2):
        with _worker(shop, f"old{count}", "--pool", pool, more=more) as worker:
            _has_begun(shop, count)
            assert worker.stop() == 0

    told.touch()
    with _worker(shop, "new", "--pool", "solo", more=more):
        assert shop.in_state(run_id, RunState.FAILURE).state is RunState.FAILURE


def test_what_ends_while_its_queue_is_slow_is_not_executed_again(
    shop: Shop, request: pytest.FixtureRequest
) -> None:
    if not shop.services.broker_url.startswith("amqp"):
        pytest.skip("Only RabbitMQ holds acknowledgements back.")
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    count, told = 100, shop.trace("told")
    with _worker(shop, "old", "--pool", "threads", "--concurrency", "100", more=PATIENT) as old:
        for _ in range(count):
            shop.submit("fails_when_told", path=str(shop.trace("long")), told=str(told))
        _has_begun(shop, count)
        _ask_to_stop(old)
        vhost = shop.services.broker_url.rpartition("/")[2]
        eventually(lambda: rabbitmq.api("GET", f"consumers/{vhost}") == [], deadline_s=SOON_S)
        rabbitmq.pause_queue(shop.services.broker_url, "celery_see", for_s=10)
        told.touch()
        eventually(lambda: not old.is_running, deadline_s=60)

    with _worker(shop, "new", "--pool", "solo"):
        shop.let_pass()
    assert len(shop.executed("long")) == count


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGINT), (signal.SIGQUIT,)])
def test_another_signal_ends_the_time_of_grace(
    shop: Shop, signals: tuple[signal.Signals, ...]
) -> None:
    path, told = shop.trace("long"), shop.trace("told")
    with _worker(shop, "old", more=PATIENT) as old:
        shop.submit("fails_when_told", path=str(path), told=str(told))
        eventually(lambda: shop.executed("long"), deadline_s=SOON_S)

        for number in signals:
            psutil.Process(old.pid).send_signal(number)
            eventually(lambda: "Warm shutdown" in old.log_path.read_text())
        eventually(lambda: not old.is_running, deadline_s=SOON_S)

    assert len(shop.executed("long")) == 1


@contextmanager
def _worker(
    shop: Shop, name: str, *options: str, more: dict[str, str] | None = None
) -> Iterator[ChildProcess]:
    folder = shop.folder / name
    folder.mkdir()
    environment = {**CANCEL_ENVIRONMENT, "CELERIAC_WORKER_NAME": name, **(more or {})}
    with running_worker(folder, *shop.services, environment, options) as worker:
        yield worker


def _submit_later(shop: Shop) -> str:
    return shop.submit("plain", 60, path=str(shop.trace("later")))


def _has_begun(shop: Shop, times: int) -> None:
    eventually(lambda: len(shop.executed("long")) == times, deadline_s=SOON_S)


def _receives(worker: ChildProcess, run_id: str) -> None:
    received = f"[{run_id}] received"
    eventually(lambda: received in worker.log_path.read_text(), deadline_s=SOON_S)


def _gives_to_a_child(shop: Shop) -> None:
    """Wait until the only worker has written its first run to a child, at least in part.

    What it has received and not given to a child yet goes back when it stops.
    """
    with foreign_client(shop.services.broker_url) as client:
        inspect = client.control.inspect(timeout=5, limit=1)
        eventually(lambda: _writes(inspect.stats()), deadline_s=SOON_S)


def _writes(answers: dict[str, Any]) -> int:
    [answer] = answers.values()
    writes = answer["pool"]["writes"]
    return int(writes["total"] + writes["inqueues"]["active"])


def _ask_to_stop(worker: ChildProcess) -> None:
    psutil.Process(worker.pid).send_signal(signal.SIGTERM)
    eventually(lambda: "Warm shutdown" in worker.log_path.read_text())
