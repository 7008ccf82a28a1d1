"""Queues as Celeriac declares them on RabbitMQ: durable, delayed in the broker, and told apart."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from celeriac.app import create_app
from celeriac.errors import QueueDiffersError
from celeriac.queues import EXCHANGE, MOST_DELIVERIES
from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import confirmed_producer
from servers import RabbitMQServer, RedisServer
from worker_process import celeriac_environment, running_worker

TESTS = str(Path(__file__).parents[1])
PROBES = {"CELERIAC_TASKS": "celeriac.tasks,probe_tasks", "PYTHONPATH": TESTS}


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer, redis_server: RedisServer) -> Iterator[str]:
    redis_server.flush()
    with rabbitmq_server.fresh_vhost() as url:
        yield url


@pytest.fixture
def runs(broker_url: str, redis_server: RedisServer) -> Runs:
    return _runs(broker_url, redis_server)


def _runs(broker_url: str, redis: RedisServer, **more: Any) -> Runs:
    urls = {"broker_url": broker_url, "redis_url": redis.url}
    return Runs.of(load_settings(join_stack=False, **urls, **more))


def _queues(server: RabbitMQServer, broker_url: str) -> dict[str, dict[str, Any]]:
    found: Any = server.api("GET", f"queues/{broker_url.rpartition('/')[2]}")
    return {queue["name"]: queue for queue in found}


def _submit(runs: Runs, text: str = "ab", **options: Any) -> Run:
    return runs.submit("text.reverse", {"text": text}, SubmitOptions.of(options))


def _send(broker_url: str, task: str, args: dict[str, Any], run_id: str, key: str) -> None:
    """Publish a message of protocol 2 the way that another process of Celeriac does."""
    headers = {"task": task, "id": run_id, "lang": "py", "root_id": run_id, "argsrepr": ""}
    with confirmed_producer(broker_url) as producer:
        producer.publish(
            [[], args, {}], headers=headers, exchange=EXCHANGE, routing_key=key, mandatory=True
        )


def test_queue_is_durable_with_a_limit_and_dead_letters(
    rabbitmq_server: RabbitMQServer, broker_url: str, runs: Runs
) -> None:
    _submit(runs)

    found = eventually(lambda: _queues(rabbitmq_server, broker_url), deadline_s=20)
    assert {name: (found[name]["type"], found[name]["durable"]) for name in found} == {
        "celery_see": ("quorum", True), "celery_see.dead": ("quorum", True),
    }  # fmt: skip
    arguments = found["celery_see"]["arguments"]
    assert arguments["x-dead-letter-exchange"] == "celeriac.dead"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-delivery-limit"] == MOST_DELIVERIES


def test_urgent_run_takes_the_fast_lane_of_its_queue(
    rabbitmq_server: RabbitMQServer, broker_url: str, redis_server: RedisServer
) -> None:
    runs = _runs(broker_url, redis_server, queues="slow")

    assert _submit(runs, queue="slow", priority=5).queue == "slow"
    _submit(runs, queue="slow", priority=4)

    def lanes() -> bool:
        found = _queues(rabbitmq_server, broker_url)
        return [found[name].get("messages") for name in ("slow.high", "slow")] == [1, 1]

    assert eventually(lanes, deadline_s=20)


@pytest.mark.parametrize("countdown", [0.4, 1.0, 2.5])
def test_run_with_a_countdown_waits_in_the_broker(
    broker_url: str, redis_server: RedisServer, tmp_path: Path, runs: Runs, countdown: float
) -> None:
    with running_worker(tmp_path, broker_url, redis_server.url):
        run = _submit(runs, countdown=countdown)
        ended = runs.wait(run.id, 30)

    assert (ended.state, ended.queue, ended.attempts) == ("SUCCESS", "celery_see", 1)
    assert run.submitted_at and ended.started_at
    late_s = (ended.started_at - run.submitted_at).total_seconds() - countdown
    assert 0 <= late_s < 2, late_s


def test_run_with_a_countdown_is_accepted_before_any_worker_was_there(
    rabbitmq_server: RabbitMQServer, broker_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    runs = _runs(broker_url, redis_server, queues="a.b,b")

    run = _submit(runs, countdown=3, queue="a.b")
    other = _submit(runs, countdown=1.5, queue="b", priority=9)

    assert run.state is RunState.SCHEDULED
    delayed = [f"celery_delayed_{level}" for level in range(28)]
    eventually(
        lambda: (
            {n for n, q in _queues(rabbitmq_server, broker_url).items() if q.get("messages")}
            <= set(delayed)
        ),
        deadline_s=20,
    )
    with running_worker(tmp_path, broker_url, redis_server.url, {"CELERIAC_QUEUES": "a.b,b"}):
        ended = [runs.wait(each.id, 30) for each in (run, other)]
    assert [(each.state, each.queue, each.attempts) for each in ended] == [
        ("SUCCESS", "a.b", 1), ("SUCCESS", "b", 1),
    ]  # fmt: skip


def test_run_that_a_script_delays_before_any_worker_was_there_is_executed(
    broker_url: str, redis_server: RedisServer, tmp_path: Path, runs: Runs
) -> None:
    urls = {"broker_url": broker_url, "redis_url": redis_server.url}
    app = create_app(load_settings(join_stack=False, **urls))
    sent = app.tasks["text.reverse"].apply_async(("ab",), countdown=1)
    app.close()

    with running_worker(tmp_path, broker_url, redis_server.url):
        ended = runs.wait(sent.id, 30)

    assert (ended.state, ended.result, ended.queue) == ("SUCCESS", "ba", "celery_see")


@pytest.mark.parametrize("countdown", [0.3, 1.2])
def test_retry_comes_back_to_the_queue_it_was_sent_to(
    broker_url: str, redis_server: RedisServer, tmp_path: Path, countdown: float
) -> None:
    runs = _runs(broker_url, redis_server, queues="slow")
    path, run_id = tmp_path / "executions", "01900000-0000-7000-8000-000000000001"
    more = {**PROBES, "CELERIAC_QUEUES": "slow"}
    with running_worker(tmp_path, broker_url, redis_server.url, more):
        args = {"path": str(path), "times": 2, "countdown": countdown}
        _send(broker_url, "probe.retry", args, run_id, "slow")
        ended = eventually(lambda: (run := runs.get(run_id)).state.finished and run, deadline_s=40)

    assert (ended.state, ended.queue, ended.attempts) == ("SUCCESS", "slow", 3), ended
    instants = [float(line) for line in path.read_text().splitlines()]
    assert all(b - a >= countdown - 0.05 for a, b in pairwise(instants))


def test_queue_that_was_removed_is_declared_again_and_the_run_not_lost(
    rabbitmq_server: RabbitMQServer, broker_url: str, runs: Runs
) -> None:
    _submit(runs)
    rabbitmq_server.api("DELETE", f"queues/{broker_url.rpartition('/')[2]}/celery_see")

    _submit(runs)

    eventually(
        lambda: _queues(rabbitmq_server, broker_url)["celery_see"].get("messages") == 1,
        deadline_s=20,
    )


@pytest.fixture
def classic_queue(broker_url: str) -> str:
    """Declare the queue as an earlier version did, with a message in it."""
    with confirmed_producer(broker_url) as producer:
        queue = Queue(
            "celery_see", Exchange("celery_see"), "celery_see",
            queue_arguments={"x-max-priority": 9},
        )  # fmt: skip
        headers = {"task": "text.reverse", "id": "old", "lang": "py", "root_id": "old"}
        producer.publish(
            [["abc"], {}, {}], headers=headers, exchange="", routing_key="celery_see",
            declare=[queue], priority=3, delivery_mode=2,
        )  # fmt: skip
    return queue.name


def _celeriac(
    folder: Path, broker_url: str, redis_url: str, *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celeriac", *command],
        env=celeriac_environment(folder, broker_url, redis_url),
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_queue_of_another_definition_is_a_503_that_says_so(runs: Runs, classic_queue: str) -> None:
    with pytest.raises(QueueDiffersError, match="celeriac doctor"):
        _submit(runs)


def test_worker_refuses_a_queue_of_another_definition_in_one_line(
    tmp_path: Path, broker_url: str, redis_server: RedisServer, classic_queue: str
) -> None:
    ended = _celeriac(tmp_path, broker_url, redis_server.url, "worker")

    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "'celery_see' exists with another definition" in ended.stderr
    assert "celeriac queues migrate" in ended.stderr


def test_doctor_tells_of_a_queue_of_another_definition(
    tmp_path: Path, broker_url: str, redis_server: RedisServer, classic_queue: str
) -> None:
    ended = _celeriac(tmp_path, broker_url, redis_server.url, "doctor")

    assert ended.returncode == 1
    assert "celery_see" in ended.stdout and "celeriac queues migrate" in ended.stdout


def test_migration_keeps_the_messages_of_a_queue(
    tmp_path: Path, broker_url: str, redis_server: RedisServer, runs: Runs, classic_queue: str
) -> None:
    ended = _celeriac(tmp_path, broker_url, redis_server.url, "queues", "migrate")

    assert ended.returncode == 0, ended.stderr
    assert "celery_see: 1 message" in ended.stdout
    run = _submit(runs)
    with running_worker(tmp_path, broker_url, redis_server.url):
        assert runs.wait(run.id, 30).state is RunState.SUCCESS
        assert eventually(lambda: runs.get("old").result == "cba", deadline_s=20)
    assert (
        "nothing"
        in _celeriac(tmp_path, broker_url, redis_server.url, "queues", "migrate").stdout.lower()
    )


def test_run_that_the_broker_gave_up_is_shown_as_dead(
    rabbitmq_server: RabbitMQServer, broker_url: str, runs: Runs
) -> None:
    run = _submit(runs)
    with Connection(broker_url) as connection:
        for _ in range(
            MOST_DELIVERIES + 1
        ):  # As workers that are not ours would do, one after the other dying.
            with connection.channel() as channel:
                eventually(partial(channel.basic_get, "celery_see", no_ack=False))
    eventually(lambda: runs.dead_letters.counts() == {"celery_see": 1}, deadline_s=20)

    assert runs.dead_letters.tell() == 1
    assert runs.dead_letters.tell() == 0

    ended = runs.get(run.id)
    assert (ended.state, ended.task) == ("DEAD", "text.reverse")
    [letter] = runs.dead_letters.find().letters
    assert (letter.reason, letter.run_id) == ("delivery_limit", run.id)


def test_run_that_expired_in_its_queue_is_revoked_and_no_dead_letter(
    broker_url: str, runs: Runs
) -> None:
    run = _submit(runs, expires=0.3)
    eventually(lambda: runs.dead_letters.counts() == {"celery_see": 1}, deadline_s=20)

    runs.dead_letters.tell()

    assert runs.get(run.id).state == "REVOKED"
    assert eventually(lambda: runs.dead_letters.counts() == {}, deadline_s=20)
