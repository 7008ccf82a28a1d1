"""What the script that writes changes makes of a cancel, whenever it comes."""

import json
from datetime import UTC, datetime

import pytest
from celery import Celery, states

from celeriac.backend import RunBackend
from celeriac.changes import Verdict, write_changes
from celeriac.events import RECORD_PREFIX, EventKind
from changed_run import cancel, context, events, record, state_of, store
from servers import RedisServer

# Celery's own backend calls it, where it stands beside ours.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_cancel_of_a_waiting_run_writes_what_celery_would(
    server: RedisServer, backend: RunBackend
) -> None:
    stock = Celery("stock", backend=server.url, set_as_current=False)
    stock.backend.mark_as_revoked("other", reason="revoked")
    theirs = json.loads(backend.client.get("celery-task-meta-other"))

    assert cancel(backend) is Verdict.WRITTEN

    ours = json.loads(backend.client.get("celery-task-meta-one"))
    different = ("task_id", "date_done")
    assert {n: v for n, v in ours.items() if n not in different} == {
        n: v for n, v in theirs.items() if n not in different
    }
    assert state_of(backend) == states.REVOKED
    assert events(backend)[-1].data["reason"] == "revoked"
    stock.close()


@pytest.mark.parametrize("waits_as", [None, states.RETRY])
def test_cancelled_run_does_not_start(backend: RunBackend, waits_as: str | None) -> None:
    if waits_as:
        store(backend, waits_as)
    assert cancel(backend) is Verdict.WRITTEN
    request = context(2)

    backend.store_result("one", {}, states.STARTED, request=request)

    assert backend.start("one", request) is Verdict.CANCELLED
    assert state_of(backend) == states.REVOKED


def test_cancelled_run_whose_result_is_ignored_does_not_start(backend: RunBackend) -> None:
    cancel(backend)

    assert backend.start("one", context()) is Verdict.CANCELLED
    assert backend.start("two", context(run_id="two")) is Verdict.WRITTEN


def test_cancel_of_a_run_in_retry_tells_its_attempt_and_what_the_record_knows(
    backend: RunBackend,
) -> None:
    store(backend, states.STARTED, attempt=3)
    store(backend, states.RETRY, attempt=3)

    cancel(backend)

    event = events(backend)[-1]
    assert event.kind is EventKind.REVOKED
    assert {n: event.data[n] for n in ("attempt", "task", "args", "reason")} == {
        "attempt": 3, "task": "a.task", "args": {"*": [1]}, "reason": "revoked",
    }  # fmt: skip


@pytest.mark.parametrize("end", [states.RETRY, states.FAILURE])
def test_run_that_fails_after_its_cancel_ends_as_revoked(backend: RunBackend, end: str) -> None:
    store(backend, states.STARTED)
    assert cancel(backend) is Verdict.STARTED
    assert state_of(backend) == states.STARTED

    store(backend, end)

    assert state_of(backend) == states.REVOKED
    assert [event.kind for event in events(backend)] == ["started", "revoked"]


def test_run_that_succeeds_before_its_worker_hears_of_the_cancel_has_succeeded(
    backend: RunBackend,
) -> None:
    store(backend, states.STARTED)
    cancel(backend)
    store(backend, states.SUCCESS)

    assert state_of(backend) == states.SUCCESS


def test_cancel_that_celery_sends_forbids_the_start_too(backend: RunBackend) -> None:
    backend.mark_as_revoked("one", reason="revoked")

    assert backend.start("one", context()) is Verdict.CANCELLED


def test_run_that_expired_may_start_when_it_is_sent_again(backend: RunBackend) -> None:
    backend.mark_as_revoked("one", reason="expired", request=context())

    assert backend.start("one", context()) is Verdict.WRITTEN


def test_revoke_by_somebody_else_leaves_a_run_that_executes_to_its_worker(
    backend: RunBackend,
) -> None:
    store(backend, states.STARTED)
    backend.mark_as_revoked("one", reason="revoked")

    assert state_of(backend) == states.STARTED


def test_cancel_of_a_run_that_nobody_knows_is_remembered_for_long(backend: RunBackend) -> None:
    assert cancel(backend) is Verdict.WRITTEN

    day_s = 86_400
    assert 29 * day_s < backend.client.ttl(RECORD_PREFIX + "one") <= 30 * day_s
    assert datetime.fromisoformat(record(backend)["cancelled"]) <= datetime.now(UTC)


def test_many_cancels_are_one_round_trip_each_with_its_own_verdict(backend: RunBackend) -> None:
    backend.store_result("done", 1, states.SUCCESS)
    backend.store_result("busy", {}, states.STARTED, request=context(run_id="busy"))

    found = write_changes(
        backend.client, [backend.cancellation(each) for each in ("done", "busy", "new")]
    )

    assert found == [Verdict.FINISHED, Verdict.STARTED, Verdict.WRITTEN]
