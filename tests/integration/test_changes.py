"""The script that writes a change of a run, on the servers that people use."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery, states
from celery.app.task import Context
from celery.result import AsyncResult

from celeriac.backend import RunBackend
from celeriac.changes import Verdict, write_change
from celeriac.events import RECORD_PREFIX, Event, EventKind
from celeriac.replays import once_more
from celeriac.stopping import forgive_starts
from changed_run import cancel, context, events, record, replay, state_of, store
from eventually import eventually
from servers import RedisServer

# Celery's own backend calls it, where it stands beside ours.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_celerys_own_result_is_what_celery_writes(server: RedisServer, backend: RunBackend) -> None:
    stock = Celery("stock", backend=server.url, set_as_current=False)
    request = context()

    store(backend, states.SUCCESS, value={"a": [1, "añ"]})
    ours = backend.client.get("celery-task-meta-one")
    ours_kept_s = backend.client.ttl("celery-task-meta-one")
    backend.client.delete("celery-task-meta-one")
    stock.backend.store_result("one", {"a": [1, "añ"]}, states.SUCCESS, request=request)
    theirs = backend.client.get("celery-task-meta-one")

    dates = [json.loads(text).pop("date_done") for text in (ours, theirs)]
    assert ours.replace(dates[0].encode(), b"") == theirs.replace(dates[1].encode(), b"")
    assert abs(backend.client.ttl("celery-task-meta-one") - ours_kept_s) <= 2
    stock.close()


def test_any_celery_client_waits_for_the_result(server: RedisServer, backend: RunBackend) -> None:
    stock = Celery("stock", backend=server.url, set_as_current=False)
    result: Any = AsyncResult("one", app=stock)
    got: list[Any] = []
    result.then(lambda found: got.append(found.result))  # It subscribes.

    store(backend, states.SUCCESS, value=42)

    assert result.get(timeout=10) == 42
    assert eventually(lambda: got) == [42]
    stock.close()


def test_one_change_is_one_round_trip(backend: RunBackend) -> None:
    store(backend, states.STARTED)  # Connects, and lets the server know the script.
    sent: list[Any] = []
    connection = backend.client.connection_pool.get_connection()
    send = connection.send_packed_command
    connection.send_packed_command = lambda *args, **_: (sent.append(args), send(*args))
    backend.client.connection_pool.release(connection)

    store(backend, states.SUCCESS)

    assert len(sent) == 1


def test_success_is_overwritten_by_nothing(backend: RunBackend) -> None:
    store(backend, states.SUCCESS, value=1)

    for state in (states.STARTED, states.RETRY, states.FAILURE, states.REVOKED, "PROGRESS"):
        store(backend, state)
    store(backend, states.SUCCESS, value=2)
    assert cancel(backend) is Verdict.FINISHED

    assert state_of(backend) == states.SUCCESS
    assert backend.get_task_meta("one", cache=False)["result"] == 1
    assert len(events(backend)) == 1
    assert "cancelled" not in record(backend)


def test_success_that_a_worker_without_us_stored_is_not_overwritten(
    server: RedisServer, backend: RunBackend
) -> None:
    stock = Celery("stock", backend=server.url, set_as_current=False)
    stock.backend.store_result("one", 1, states.SUCCESS)
    stock.close()

    store(backend, states.FAILURE)

    assert backend.get_task_meta("one", cache=False)["status"] == states.SUCCESS
    assert not events(backend)


@pytest.mark.parametrize(
    ("first", "then", "stays"),
    [
        (states.STARTED, states.RETRY, states.RETRY),
        (states.STARTED, states.FAILURE, states.FAILURE),
        (states.STARTED, states.SUCCESS, states.SUCCESS),
        # A message that is delivered again is executed again, and that is what people see.
        (states.RETRY, states.STARTED, states.STARTED),
        (states.FAILURE, states.STARTED, states.STARTED),
        (states.FAILURE, states.SUCCESS, states.SUCCESS),
        (states.FAILURE, states.REVOKED, states.FAILURE),
        (states.REVOKED, states.FAILURE, states.REVOKED),
        (states.REVOKED, states.RETRY, states.REVOKED),
        (states.FAILURE, states.RETRY, states.FAILURE),
        (states.STARTED, states.REVOKED, states.REVOKED),
    ],
)
def test_attempt_never_goes_back(backend: RunBackend, first: str, then: str, stays: str) -> None:
    store(backend, first)
    store(backend, then)

    assert state_of(backend) == stays


@pytest.mark.parametrize("end", [states.RETRY, states.FAILURE, states.REVOKED])
def test_late_progress_changes_nothing(backend: RunBackend, end: str) -> None:
    store(backend, states.STARTED)
    store(backend, end)
    backend.store_result("one", {"current": 1}, "PROGRESS", request=context())

    assert state_of(backend) == end


def test_start_that_is_told_again_since_no_answer_came_counts_once(backend: RunBackend) -> None:
    change = backend._change("one", states.STARTED, {"result": None}, context(), None)

    write_change(backend.client, change)
    write_change(backend.client, change)
    assert record(backend)["starts"] == 1

    store(backend, states.STARTED)
    assert record(backend)["starts"] == 2


def test_start_of_a_replayed_run_that_is_handed_back_counts_no_more(
    backend: RunBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = once_more({"id": "one", "task": "a.task", "retries": 0})
    backend.store_result("one", None, states.STARTED, request=Context(headers))
    executed = SimpleNamespace(
        id="one", request_dict=headers, task=SimpleNamespace(acks_late=True), acknowledged=False
    )
    monkeypatch.setattr("celery.worker.state.active_requests", [executed])

    forgive_starts(backend.app)

    assert (record(backend)["attempt"], record(backend)["starts"]) == (2, 0)
    handed_back_at = record(backend)["handed_back"]
    for _ in range(2):
        backend.store_result("one", None, states.STARTED, request=Context(headers))
    first, then, last = [each.data.get("handed_back") for each in events(backend)]
    assert (first, last) == (None, None)
    assert then == {"started_at": events(backend)[0].at.isoformat(), "at": handed_back_at}


def test_next_attempt_starts(backend: RunBackend) -> None:
    store(backend, states.STARTED)
    store(backend, states.RETRY)
    store(backend, states.STARTED, attempt=2)

    assert state_of(backend) == states.STARTED
    assert record(backend)["attempt"] == 2


@pytest.mark.parametrize("overtaken_by", [states.STARTED, states.SUCCESS])
def test_retry_that_is_told_after_the_next_attempt_began_is_an_event_only(
    backend: RunBackend, overtaken_by: str
) -> None:
    store(backend, states.STARTED)
    store(backend, states.STARTED, attempt=2)
    if overtaken_by != states.STARTED:
        store(backend, overtaken_by, attempt=2)

    store(backend, states.RETRY)

    assert backend.get_task_meta("one", cache=False)["status"] == overtaken_by
    assert record(backend)["state"] == overtaken_by
    event = events(backend)[-1]
    assert (event.kind, event.data["attempt"]) == (EventKind.RETRY, 1)


@pytest.mark.parametrize("state", [states.STARTED, states.RETRY, "PROGRESS"])
def test_run_is_known_for_long_while_it_has_not_ended(
    app: Celery, backend: RunBackend, state: str
) -> None:
    app.conf.result_expires = backend.expires = 60

    store(backend, state, value={"current": 1})
    assert backend.client.ttl(RECORD_PREFIX + "one") > 29 * 86_400
    store(backend, states.SUCCESS)

    assert 0 < backend.client.ttl(RECORD_PREFIX + "one") <= 60


def test_run_that_takes_longer_than_results_are_kept_is_not_lost(backend: RunBackend) -> None:
    backend.expires = 1
    store(backend, states.STARTED)
    eventually(lambda: not backend.client.exists("celery-task-meta-one"))

    assert cancel(backend) is Verdict.STARTED
    store(backend, states.SUCCESS, value=7)

    assert state_of(backend) == states.SUCCESS


def _lose_next_answer(
    backend: RunBackend, monkeypatch: pytest.MonkeyPatch, *, forget: bool = False
) -> None:
    """Have the server carry out what comes next, and perhaps be another one after it."""
    read = redis.Connection.read_response

    def lose(connection: redis.Connection, *args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(redis.Connection, "read_response", read)
        read(connection, *args, **kwargs)
        if forget:
            backend.client.script_flush()
        raise redis.ConnectionError("The answer is lost.")

    monkeypatch.setattr(redis.Connection, "read_response", lose)


@pytest.mark.parametrize("forget", [False, True], ids=["same-server", "next-server"])
@pytest.mark.parametrize("end", [states.SUCCESS, states.FAILURE, states.RETRY])
def test_lines_are_written_once_though_the_answer_is_lost(
    backend: RunBackend, monkeypatch: pytest.MonkeyPatch, end: str, forget: bool
) -> None:
    lines = [Event("one", EventKind.LOG, datetime.now(UTC), {"text": "a line"})]
    monkeypatch.setattr(
        "celeriac.backend.lines_of_ending", lambda *_: [lines.pop()] if lines else []
    )
    store(backend, states.STARTED)
    _lose_next_answer(backend, monkeypatch, forget=forget)

    store(backend, end)

    assert redis.Connection.read_response.__name__ == "read_response", "no answer was lost"
    assert state_of(backend) == end
    assert [event.kind for event in events(backend)].count(EventKind.LOG) == 1


def test_lines_of_two_attempts_are_both_written(
    backend: RunBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Event("one", EventKind.LOG, datetime.now(UTC), {"text": "the same line"})
    monkeypatch.setattr("celeriac.backend.lines_of_ending", lambda *_: [line])

    store(backend, states.RETRY)
    store(backend, states.SUCCESS, attempt=2)

    assert [event.kind for event in events(backend)] == ["log", "retry", "log", "succeeded"]


def test_script_that_the_server_has_forgotten_is_sent_again(backend: RunBackend) -> None:
    store(backend, states.STARTED)
    backend.client.script_flush()

    store(backend, states.SUCCESS, value=7)

    assert state_of(backend) == states.SUCCESS


def test_nothing_is_lost_while_the_server_is_out_of_memory(
    backend: RunBackend, server: RedisServer
) -> None:
    slept: list[float] = []

    def wait(amount_s: float) -> None:
        slept.append(amount_s)
        assert not events(backend)
        backend.client.config_set("maxmemory", 0)

    backend._sleep = wait
    backend.client.config_set("maxmemory", 1)
    try:
        store(backend, states.SUCCESS, value=7)
    finally:
        backend.client.config_set("maxmemory", 0)

    assert slept
    assert state_of(backend) == states.SUCCESS


def test_values_pass_unchanged_whatever_they_are(backend: RunBackend) -> None:
    values = ["", "\0", "añ👩‍👩‍👧", 1e300, [], {}, "x" * 20_000]

    store(backend, states.SUCCESS, value=values)

    assert backend.get_task_meta("one", cache=False)["result"] == values
    assert events(backend)[0].data["result"] == values


def test_replay_opens_a_dead_run_again_and_nothing_late_closes_it(backend: RunBackend) -> None:
    store(backend, states.STARTED)
    backend.mark_as_dead("one", ValueError("poison"), context())
    replay(backend)

    waiting = record(backend)
    assert (waiting["state"], waiting["attempt"], waiting["finished_at"]) == ("PENDING", 2, None)
    assert (waiting["error"], backend.client.exists("celery-task-meta-one")) == (None, 0)
    store(backend, states.FAILURE)
    assert record(backend)["state"] == "PENDING"
    assert cancel(backend) is Verdict.WRITTEN


def test_replay_that_is_told_late_does_not_stop_its_run(backend: RunBackend) -> None:
    backend.mark_as_dead("one", ValueError("poison"), context())
    store(backend, states.STARTED, attempt=2)

    assert replay(backend) is Verdict.LATE

    assert record(backend)["state"] == "STARTED"
    assert record(backend)["finished_at"] is None
    assert events(backend)[-1].kind is EventKind.REPLAYED
