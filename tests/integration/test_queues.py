"""Queues: what waits in them, holding them back and emptying them, with real workers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.app import create_app
from celeriac.errors import ResultsUnavailableError, UnknownQueueError
from celeriac.fleet import PAUSED_QUEUES
from celeriac.redis_client import connect
from celeriac.runs import Purged, Queue, Runs, RunState, SubmitOptions
from celeriac.runs.purge import BATCH
from celeriac.settings import Settings, load_settings
from eventually import eventually
from foreign_client import foreign_client
from processes import ChildProcess, free_port
from servers import RabbitMQServer, redis_server
from services import Services
from worker_process import celeriac_environment, running_worker

WITH_OTHER = {"CELERIAC_QUEUES": "other"}
OBEYS_WITHIN_S = 20


@pytest.fixture
def settings(services: Services, tmp_path: Path) -> Settings:
    with connect(services.redis_url) as client:
        client.delete("celeriac-workers", PAUSED_QUEUES)
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        data_dir=tmp_path,
        queues="other",
    )


@pytest.fixture
def runs(settings: Settings) -> Iterator[Runs]:
    runs = Runs.of(settings)
    yield runs
    runs.queues.purge("other")
    runs.queues.purge("celery_see")


def _submit(runs: Runs, queue: str = "other") -> str:
    return runs.submit("text.reverse", {"text": "abc"}, SubmitOptions(queue=queue)).id


def _succeeds(runs: Runs, run_id: str) -> bool:
    return runs.wait(run_id, timeout_s=OBEYS_WITHIN_S).state is RunState.SUCCESS


def _ready(runs: Runs, ready: int) -> Queue:
    """Wait until so many wait in the queue `other`."""

    def found() -> Queue | None:
        queue = runs.queues.get("other")
        return queue if queue.ready == ready else None

    return eventually(found, deadline_s=OBEYS_WITHIN_S)


def _held_by(runs: Runs) -> list[list[str]]:
    return [worker.paused for worker in runs.workers.all() if worker.state.is_alive]


# --- What is known --------------------------------------------------------------------------------


def test_queues_tell_what_waits_and_what_goes_there(runs: Runs) -> None:
    _submit(runs)
    _submit(runs)

    queue = _ready(runs, 2)
    assert (queue.taken, queue.running, queue.paused, queue.workers) == (0, 0, False, [])
    assert not queue.consumers
    assert "text.reverse" in runs.queues.get("celery_see").tasks


def test_queue_that_nobody_has_used_does_not_hide_the_others(
    services: Services, runs: Runs
) -> None:
    _submit(runs)
    more = Runs.of(
        load_settings(
            join_stack=False,
            broker_url=services.broker_url,
            redis_url=services.redis_url,
            queues="a-new,other,z-new",
        )
    )

    depths = {queue.name: queue.ready for queue in more.queues.all()}
    assert (depths["a-new"], depths["other"], depths["z-new"]) == (0, 1, 0)


def test_queues_tell_what_is_known_while_something_is_away(services: Services, runs: Runs) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    scheme = services.broker_url.partition("://")[0]
    without_broker = Runs.of(
        load_settings(
            join_stack=False, broker_url=f"{scheme}://{nobody}/0", redis_url=services.redis_url
        )
    )
    without_redis = Runs.of(
        load_settings(
            join_stack=False, broker_url=services.broker_url, redis_url=f"redis://{nobody}/0"
        )
    )

    (queue,) = without_broker.queues.all()
    assert (queue.ready, queue.paused, queue.taken) == (None, False, 0)
    (queue,) = without_redis.queues.all()
    assert (queue.ready, queue.paused, queue.taken) == (0, None, None)
    with pytest.raises(ResultsUnavailableError):
        without_redis.queues.pause("celery_see")


def test_unknown_queue_has_near_names(runs: Runs) -> None:
    with pytest.raises(UnknownQueueError) as raised:
        runs.queues.pause("othr")

    assert raised.value.near == ("other",)


# --- Holding back ---------------------------------------------------------------------------------


def test_worker_that_starts_leaves_paused_queues_alone(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    runs.queues.pause("other")
    waiting = _submit(runs)
    with running_worker(tmp_path, *services, WITH_OTHER):
        assert _succeeds(runs, _submit(runs, "celery_see"))
        assert _ready(runs, 1).paused
        assert runs.get(waiting).state is RunState.PENDING
        eventually(lambda: _held_by(runs) == [["other"]])

        runs.queues.resume("other")

        assert _succeeds(runs, waiting)


def test_worker_that_runs_obeys_a_pause_and_its_end(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    with running_worker(tmp_path, *services, WITH_OTHER):
        assert _succeeds(runs, _submit(runs))

        runs.queues.pause("other")
        eventually(lambda: _held_by(runs) == [["other"]])
        waiting = _submit(runs)
        assert _succeeds(runs, _submit(runs, "celery_see"))
        assert _ready(runs, 1).paused
        runs.queues.resume("other")

        assert _succeeds(runs, waiting)


def test_worker_consumes_again_after_a_pause_shorter_than_a_heartbeat(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    with running_worker(tmp_path, *services, WITH_OTHER):
        assert _succeeds(runs, _submit(runs))

        for _ in range(5):
            runs.queues.pause("other")
            runs.queues.resume("other")

        assert _succeeds(runs, _submit(runs))


def test_worker_obeys_a_pause_that_no_broker_told(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    with (
        running_worker(tmp_path, *services, WITH_OTHER),
        connect(services.redis_url) as client,
    ):
        client.sadd(PAUSED_QUEUES, "other")
        eventually(lambda: _held_by(runs) == [["other"]], deadline_s=OBEYS_WITHIN_S)
        waiting = _submit(runs)
        assert _ready(runs, 1)

        client.srem(PAUSED_QUEUES, "other")

        assert _succeeds(runs, waiting)


def test_worker_with_nothing_but_paused_queues_waits(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    runs.queues.pause("other")
    runs.queues.pause("celery_see")
    with running_worker(tmp_path, *services, WITH_OTHER):
        waiting = _submit(runs)
        eventually(lambda: _held_by(runs) == [["celery_see", "other"]], deadline_s=OBEYS_WITHIN_S)
        assert _ready(runs, 1)

        runs.queues.resume("other")

        assert _succeeds(runs, waiting)


def test_worker_holds_back_after_a_reconnect(
    runs: Runs, services: Services, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not services.broker_url.startswith("amqp"):
        pytest.skip("A Redis broker that restarts takes the results with it.")
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    with running_worker(tmp_path, *services, WITH_OTHER) as worker:
        eventually(lambda: _held_by(runs) == [[]], deadline_s=OBEYS_WITHIN_S)
        with connect(services.redis_url) as client:
            rabbitmq.stop()
            client.sadd(PAUSED_QUEUES, "other")
            rabbitmq.start()
        eventually(
            lambda: worker.log_path.read_text().count("Connected to amqp") > 1, deadline_s=60
        )
        waiting = _submit(runs)
        assert _succeeds(runs, _submit(runs, "celery_see"))

        assert runs.get(waiting).state is RunState.PENDING


def test_worker_waits_for_redis_to_learn_what_is_paused(
    rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    with rabbitmq_server.fresh_vhost() as broker_url, redis_server(tmp_path) as redis:
        runs = Runs.of(
            load_settings(
                join_stack=False, broker_url=broker_url, redis_url=redis.url, queues="other"
            )
        )
        runs.queues.pause("other")
        waiting = _submit(runs)
        redis.stop()
        worker = ChildProcess(
            command=_worker_command(),
            log_path=tmp_path / "worker.log",
            env={**celeriac_environment(tmp_path, broker_url, redis.url), **WITH_OTHER},
            cwd=tmp_path,
        )
        worker.start()
        try:
            eventually(lambda: "Redis did not answer" in worker.log_path.read_text())
            redis.start()
            assert _succeeds(runs, _submit(runs, "celery_see"))
            assert runs.get(waiting).state is RunState.PENDING
        finally:
            worker.stop()


def _worker_command() -> list[str]:
    return [sys.executable, "-m", "celeriac", "worker", "--concurrency", "1"]


# --- Emptying -------------------------------------------------------------------------------------


def test_purge_ends_the_runs_that_wait_for_good(
    runs: Runs, services: Services, tmp_path: Path
) -> None:
    waiting = [_submit(runs) for _ in range(450)]
    _ready(runs, 450)

    assert runs.queues.purge("other") == Purged(purged=450)

    for run_id in (waiting[0], waiting[-1]):
        run = runs.get(run_id)
        assert run.state is RunState.REVOKED
        assert run.error is not None and run.error.message == "purged"
        assert run.task == "text.reverse"
    assert _ready(runs, 0)
    with running_worker(tmp_path, *services, WITH_OTHER):
        assert _succeeds(runs, _submit(runs))
    assert runs.get(waiting[0]).state is RunState.REVOKED


def test_purge_goes_on_with_what_waited_when_it_began(runs: Runs) -> None:
    for _ in range(3):
        _submit(runs)
    _ready(runs, 3)

    first = runs.queues.purge("other", most=2)
    later = _submit(runs)
    _ready(runs, 2)
    second = runs.queues.purge("other", most=1)

    assert (first, second) == (Purged(purged=2), Purged(purged=1))
    assert runs.get(later).state is RunState.PENDING


def test_purge_without_time_drops_a_batch_and_tells_what_is_left(runs: Runs) -> None:
    for _ in range(BATCH + 10):
        _submit(runs)
    _ready(runs, BATCH + 10)

    assert runs.queues.purge("other", within_s=0) == Purged(purged=BATCH, left=10)


def test_purge_keeps_what_the_message_of_another_client_tells(
    runs: Runs, services: Services
) -> None:
    theirs = foreign_client(services.broker_url, "other")
    headers = {"celeriac_tags": ["blue"]}
    with theirs:
        sent = theirs.send_task("text.reverse", ["abc"], queue="other", headers=headers)
        odd = theirs.send_task("their.own", [{1}], queue="other", serializer="pickle")
    _ready(runs, 2)

    assert runs.queues.purge("other").purged == 2

    run, unread = runs.get(sent.id), runs.get(odd.id)
    assert (run.task, run.args, run.queue) == ("text.reverse", {"text": "abc"}, "other")
    assert (run.state, run.tags, run.root_id) == (RunState.REVOKED, ["blue"], sent.id)
    assert (unread.state, unread.task, unread.args) == (RunState.REVOKED, "their.own", None)
    again = runs.resubmit(sent.id)
    assert (again.args, again.queue) == ({"text": "abc"}, "other")


def test_purge_leaves_other_queues_alone(runs: Runs) -> None:
    here, there = _submit(runs), _submit(runs, "celery_see")
    _ready(runs, 1)

    assert runs.queues.purge("other").purged == 1

    assert runs.get(here).state is RunState.REVOKED
    assert runs.get(there).state is RunState.PENDING


def test_purge_of_a_queue_that_nobody_has_used_does_nothing(
    services: Services, settings: Settings
) -> None:
    fresh = settings.model_copy(update={"queues": "never-used"})

    assert Runs.of(fresh).queues.purge("never-used") == Purged(purged=0)


def test_purge_keeps_the_message_of_a_run_that_had_begun_until_a_worker_ends_it(
    runs: Runs, settings: Settings, services: Services, tmp_path: Path
) -> None:
    begun, waiting = _submit(runs), _submit(runs)
    _ready(runs, 2)
    create_app(settings).backend.store_result(begun, None, "STARTED")

    assert runs.queues.purge("other") == Purged(purged=1, kept=1)

    assert runs.get(waiting).state is RunState.REVOKED
    assert _ready(runs, 1)
    with running_worker(tmp_path, *services, WITH_OTHER):
        ended = eventually(lambda: runs.get(begun).state.finished, deadline_s=OBEYS_WITHIN_S)
    assert ended
    assert runs.get(begun).state is RunState.REVOKED


def test_purge_without_redis_drops_nothing(services: Services, runs: Runs) -> None:
    waiting = _submit(runs)
    _ready(runs, 1)
    away = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        queues="other",
    )

    with pytest.raises(ResultsUnavailableError):
        Runs.of(away).queues.purge("other")

    assert _ready(runs, 1)
    assert runs.get(waiting).state is RunState.PENDING
