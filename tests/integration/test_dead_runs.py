"""Runs that can never end well: they end as dead letters, and nobody else suffers from them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from redis import Redis

from celeriac.events import STREAM, Event
from celeriac.history import History
from celeriac.runs import LetterSelection, Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from foreign_client import confirmed_producer, publish
from services import Services
from worker_process import running_worker

TESTS = str(Path(__file__).parents[1])
LIMIT = 2
PROBES = {
    "CELERIAC_TASKS": "celeriac.tasks,probe_tasks",
    "PYTHONPATH": TESTS,
    "CELERIAC_DELIVERY_LIMIT": str(LIMIT),
}
Send = Callable[..., str]


@pytest.fixture(scope="module")
def runs(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    folder = tmp_path_factory.mktemp("dead")
    with running_worker(folder, services.broker_url, services.redis_url, PROBES):
        yield Runs.of(load_settings(join_stack=False, **urls))


@pytest.fixture
def send(services: Services, runs: Runs) -> Send:
    """Give a function that publishes a message where the worker finds it, and gives its run."""
    return partial(publish, services.broker_url)


def _ended(runs: Runs, run_id: str, deadline_s: float = 25) -> Run:
    return eventually(
        lambda: (run := runs.get(run_id)).state.finished and run, deadline_s=deadline_s
    )


def _letters(services: Services) -> int:
    with Connection(services.broker_url) as connection, connection.channel() as channel:
        try:
            found: Any = channel.queue_declare("celery_see.dead", passive=True)
        except connection.channel_errors:
            return 0
        return int(found.message_count)


def _letter_of(runs: Runs, run_id: str) -> str | None:
    letters = runs.dead_letters.find().letters
    return next((each.id for each in letters if each.run_id == run_id), None)


def _events(services: Services, run_id: str) -> list[Event]:
    with Redis.from_url(services.redis_url, decode_responses=True) as client:
        entries: Any = client.xrange(STREAM)
    return [e for entry in entries if (e := Event.of_entry(*entry)).run_id == run_id]


def _executions(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_run_that_kills_its_process_each_time_ends_dead_and_others_succeed(
    runs: Runs, services: Services, send: Send, tmp_path: Path
) -> None:
    letters = _letters(services)
    poison = send("probe.kill_child", path=str(tmp_path / "poison"))
    healthy = [runs.submit("text.reverse", {"text": "ab"}, SubmitOptions()).id for _ in range(5)]

    ended = _ended(runs, poison)

    assert ended.state is RunState.DEAD
    assert ended.error and ended.error.type == "DeadLetterError"
    assert "3 times" in ended.error.message
    assert _executions(tmp_path / "poison") == LIMIT + 1
    assert eventually(lambda: _letters(services) == letters + 1)
    assert [_ended(runs, each).state for each in healthy] == ["SUCCESS"] * 5


def test_replayed_run_executes_and_can_be_cancelled_as_any_other(
    runs: Runs, services: Services, send: Send, tmp_path: Path, history: History
) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    run_id = send("probe.die_until_open", gate=str(gate), done=str(done))
    assert _ended(runs, run_id).state is RunState.DEAD
    letter = eventually(lambda: _letter_of(runs, run_id), deadline_s=20)
    gate.touch()

    list(runs.dead_letters.replay(LetterSelection(ids=[letter])))

    run = eventually(lambda: (r := runs.get(run_id)).state is RunState.STARTED and r, deadline_s=20)
    assert (run.attempts, run.finished_at, run.error) == (2, None, None)
    history.apply(_events(services, run_id))
    recorded = history.get(run_id)
    assert recorded and (recorded.state, recorded.finished_at) == ("STARTED", None)
    assert [row.state for row in history.attempts(run_id) if not row.lost] == ["DEAD", "STARTED"]
    runs.cancel(run_id)
    done.touch()
    assert _ended(runs, run_id).state in (RunState.REVOKED, RunState.SUCCESS)


def test_unknown_task_is_a_dead_letter(runs: Runs, services: Services, send: Send) -> None:
    letters = _letters(services)

    ended = _ended(runs, send("no.such.task", text="ab"))

    assert (ended.state, ended.task, ended.queue) == ("DEAD", "no.such.task", "celery_see")
    assert ended.error and ended.error.type == "NotRegistered"
    assert eventually(lambda: _letters(services) == letters + 1)


@pytest.mark.parametrize("body", [b"{no json", b"5", b'"text"'])
def test_unreadable_message_of_a_task_is_a_dead_letter(
    runs: Runs, services: Services, send: Send, body: bytes
) -> None:
    letters = _letters(services)

    ended = _ended(runs, send("text.reverse", body))

    assert (ended.state, ended.task) == ("DEAD", "text.reverse")
    assert eventually(lambda: _letters(services) == letters + 1)


def test_message_without_an_identifier_is_a_dead_letter(
    services: Services, runs: Runs, send: Send, tmp_path: Path
) -> None:
    letters = _letters(services)
    with confirmed_producer(services.broker_url) as producer:
        producer.publish([[], {}, {}], headers={"task": "x"}, exchange="", routing_key="celery_see")
        producer.publish(
            [[], {}, {}], headers={"task": "text.reverse"}, exchange="", routing_key="celery_see"
        )

    assert eventually(lambda: _letters(services) == letters + 2, deadline_s=20)
    after = send("probe.note", path=str(tmp_path / "after"))
    assert _ended(runs, after).state is RunState.SUCCESS


@pytest.mark.parametrize("body", [b"{no json", b"[]", b'{"a": 1}'])
def test_message_of_nobody_is_a_dead_letter(services: Services, send: Send, body: bytes) -> None:
    letters = _letters(services)

    send(None, body)

    assert eventually(lambda: _letters(services) == letters + 1, deadline_s=20)


def test_run_that_its_task_rejects_is_a_dead_letter(
    runs: Runs, services: Services, send: Send
) -> None:
    letters = _letters(services)

    ended = _ended(runs, send("probe.reject"))

    assert ended.state is RunState.DEAD
    assert ended.error and ended.error.type == "Reject"
    assert eventually(lambda: _letters(services) == letters + 1)


def test_run_that_succeeded_is_not_executed_when_its_message_comes_again(
    runs: Runs, send: Send, tmp_path: Path
) -> None:
    path = tmp_path / "executions"
    first = send("probe.note", path=str(path))
    assert _ended(runs, first).state is RunState.SUCCESS

    send("probe.note", run_id=first, path=str(path))

    after = send("probe.note", path=str(tmp_path / "after"))
    assert _ended(runs, after).state is RunState.SUCCESS
    assert (_executions(path), runs.get(first).result) == (1, 1)
