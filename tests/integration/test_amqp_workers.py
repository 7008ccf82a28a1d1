"""Stock Celery's worker with the lean transport, and nothing else of Celeriac's."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from eventually import eventually
from lean_app import TRANSPORT, create_app
from processes import ChildProcess
from servers import RabbitMQServer, RedisServer, clean_environment
from worker_process import running

TESTS = Path(__file__).parents[1]
ENDS_WITHIN_S = 90


@pytest.fixture(scope="module")
def broker_url(rabbitmq_server: RabbitMQServer) -> Iterator[str]:
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.fixture(scope="module")
def app(broker_url: str, redis_server: RedisServer) -> Iterator[Celery]:
    redis_server.flush()
    app = create_app(broker_url, redis_server.url)
    with app.connection_for_write() as connection:
        app.amqp.queues["dead"](connection.default_channel).declare()
    yield app
    app.close()


@contextmanager
def _worker(app: Celery, folder: Path, name: str, *options: str) -> Iterator[ChildProcess]:
    """Run `celery worker`, and give it when it takes messages."""
    worker = ChildProcess(
        command=[
            *(sys.executable, "-m", "celery", "--app=lean_app", "worker", "--loglevel=INFO"),
            *(f"--hostname={name}@lean", "--queues=lean", *options),
        ],
        log_path=folder / f"{name}.log",
        env=clean_environment(
            folder,
            PYTHONPATH=str(TESTS),
            LEAN_BROKER=app.conf.broker_url,
            LEAN_RESULTS=app.conf.result_backend,
        ),
        cwd=folder,
    )
    with running(worker):
        yield worker


def _send(app: Celery, name: str, *args: object, **options: Any) -> Any:
    return app.send_task(name, args, queue="lean", **options)


def _ready(app: Celery, queue: str = "lean") -> int:
    """Give how many messages of a queue nobody has in hand."""
    with app.connection_for_read() as connection:
        bound: Any = app.amqp.queues[queue](connection.default_channel)
        return int(bound.queue_declare(passive=True).message_count)


def test_prefetch_grows_and_shrinks_with_the_pool(app: Celery, tmp_path: Path) -> None:
    with _worker(app, tmp_path, "growing", "--pool=prefork", "--concurrency=2"):
        for change, by, processes in (("grow", 3, 5), ("shrink", 4, 1), ("grow", 1, 2)):
            app.control.broadcast(f"pool_{change}", {"n": by}, ["growing@lean"])
            eventually(partial(_is_of, app, processes), deadline_s=60)

            sent = [_send(app, "size", "x") for _ in range(20)]

            assert [each.get(timeout=ENDS_WITHIN_S) for each in sent] == [1] * 20


def _is_of(app: Celery, processes: int) -> bool:
    found = app.control.inspect(["growing@lean"], timeout=5).stats() or {}
    (stats,) = found.values()
    return len(stats["pool"]["processes"]) == processes


def test_what_a_killed_worker_had_is_executed_by_the_other(app: Celery, tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.touch()
    with (
        _worker(app, tmp_path, "one", "--pool=threads", "--concurrency=2") as one,
        _worker(app, tmp_path, "two", "--pool=threads", "--concurrency=2"),
    ):
        sent = [_send(app, "note", str(done), number, 0.2) for number in range(40)]
        eventually(lambda: len(done.read_text().splitlines()) >= 5, deadline_s=60)
        one.kill()
        found = [each.get(timeout=ENDS_WITHIN_S) for each in sent]

    assert found == list(range(40))
    assert _ready(app) == 0


def test_worker_that_stops_has_acknowledged_what_it_executed(app: Celery, tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.touch()
    with _worker(app, tmp_path, "stopping", "--pool=prefork", "--concurrency=2") as worker:
        for number in range(60):
            _send(app, "note", str(done), number, 0.05)
        eventually(lambda: len(done.read_text().splitlines()) >= 10, deadline_s=60)
        worker.stop()

    executed = done.read_text().splitlines()
    assert len(set(executed)) == len(executed)
    eventually(lambda: _ready(app) == 60 - len(executed), deadline_s=60)


@pytest.fixture(scope="module", params=["prefork", "threads", "solo"])
def worker(
    request: pytest.FixtureRequest, app: Celery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChildProcess]:
    folder, pool = tmp_path_factory.mktemp("worker"), request.param
    with _worker(app, folder, pool, f"--pool={pool}", "--concurrency=2") as worker:
        yield worker
    assert _ready(app) == 0, "The worker has not acknowledged what it executed."


def test_runs_small_large_and_early_are_executed(app: Celery, worker: ChildProcess) -> None:
    sizes = [3, 400_000, 10, 131_000, 0, 131_072, 5]
    sent = [_send(app, "size", "x" * size, priority=size % 10) for size in sizes]
    sent += [_send(app, "early", number) for number in range(50)]

    found = [each.get(timeout=ENDS_WITHIN_S) for each in sent]

    assert found == [*sizes, *range(50)]


def test_rejected_are_dead_and_requeued_are_executed(app: Celery, worker: ChildProcess) -> None:
    dead = _ready(app, "dead")
    again, _, after = [_send(app, name) for name in ("refuse_first", "refuse", "refuse_first")]

    assert again.get(timeout=ENDS_WITHIN_S) == after.get(timeout=ENDS_WITHIN_S) == "done"
    eventually(lambda: _ready(app, "dead") == dead + 1, deadline_s=60)


def test_remote_control_revoke_and_eta_are_as_ever(
    app: Celery, worker: ChildProcess, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    revoked = _send(app, "note", str(done), 1, countdown=10)
    kept = _send(app, "note", str(done), 2, countdown=2)

    app.control.revoke(revoked.id)
    (stats,) = eventually(app.control.inspect(timeout=5).stats, deadline_s=60).values()

    assert stats["broker"]["transport"] == TRANSPORT
    assert kept.get(timeout=ENDS_WITHIN_S) == 2
    eventually(lambda: revoked.state == "REVOKED", deadline_s=60)
    assert done.read_text() == "2\n"
    # The worker holds its message until it would have been due.
    scheduled = app.control.inspect(timeout=5).scheduled
    eventually(lambda: not any((scheduled() or {"none": [0]}).values()), deadline_s=60)
