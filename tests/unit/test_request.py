"""How a run ends in the worker's main process: what is stored, and what becomes of its message."""

from collections.abc import Iterator
from threading import Event as Flag
from threading import current_thread
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import Channel
from celery import Celery
from celery.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from kombu.asynchronous import Hub, get_event_loop, set_event_loop

from celeriac.request import RunRequest
from eventually import eventually


class Message:
    """What Celery makes of a run's message, and what becomes of it."""

    def __init__(self) -> None:
        app = Celery("request", set_as_current=False, backend="cache+memory://")

        @app.task(shared=False, name="a.task", acks_late=True, reject_on_worker_lost=True)
        def task() -> None:
            """Do nothing."""

        self.app = app
        self.fate: list[str] = []
        message = SimpleNamespace(
            headers={"id": "one", "task": "a.task"},
            body=b"",
            content_type="application/json",
            content_encoding="utf-8",
            payload=([], {}, {}),
            delivery_info={},
            properties={},
        )
        self.request: Any = RunRequest(
            message,
            app=app,
            task=app.tasks["a.task"],
            on_ack=lambda *_: self.fate.append("acknowledged"),
            on_reject=lambda _log, _errors, requeue: self.fate.append(f"requeued: {requeue}"),
        )

    def fail(self, error: BaseException) -> None:
        self.request.on_failure(SimpleNamespace(exception=error, traceback="", exc_info=None))


@pytest.fixture
def message() -> Message:
    return Message()


def test_run_that_was_killed_in_place_of_another_goes_back(message: Message) -> None:
    message.fail(Terminated(15))

    assert message.fate == ["requeued: True"]


def test_run_whose_end_cannot_be_stored_yet_keeps_nobody_waiting_and_its_message(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_is_back = Flag()
    # Each thread has a backend of its own.
    backend = type(message.request.task.backend)
    monkeypatch.setattr(backend, "mark_as_revoked", lambda *_, **__: redis_is_back.wait(10))

    message.request._announce_revoked("expired", False, None, True)

    assert (message.request.revoked(), message.fate) == (True, [])
    redis_is_back.set()
    assert eventually(lambda: message.fate) == ["acknowledged"]


def test_run_that_was_to_be_ended_does_not_go_back(message: Message) -> None:
    message.request._announce_revoked("terminated", True, 15, False)

    message.fail(Terminated(15))

    assert eventually(lambda: message.fate) == ["acknowledged"]


def test_run_whose_process_died_goes_back_as_celery_has_it(message: Message) -> None:
    message.fail(WorkerLostError("gone"))

    assert eventually(lambda: message.fate) == ["requeued: True"]


def test_run_that_takes_too_long_is_a_failure_once_and_its_message_is_done(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    backend = type(message.request.task.backend)
    monkeypatch.setattr(
        backend, "mark_as_failure", lambda _, run_id, error, **__: stored.append(repr(error))
    )

    # Celery's pool tells of it twice.
    message.fail(TimeLimitExceeded(3))
    message.request.on_timeout(soft=False, timeout=3)

    assert eventually(lambda: message.fate) == ["acknowledged"]
    assert stored == ["TimeLimitExceeded(3)"]


def test_run_that_failed_is_done_only_when_that_is_stored(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_is_back, asked = Flag(), Flag()
    backend = type(message.request.task.backend)

    def wait(*_: Any, **__: Any) -> None:
        asked.set()
        redis_is_back.wait(10)

    monkeypatch.setattr(backend, "mark_as_failure", wait)

    message.fail(RuntimeError("the pool has no such child"))

    assert asked.wait(10)
    assert message.fate == []
    redis_is_back.set()
    assert eventually(lambda: message.fate) == ["acknowledged"]


@pytest.fixture
def loop() -> Iterator[Any]:
    before, loop = get_event_loop(), Hub()
    set_event_loop(loop)
    yield loop
    loop.close()
    set_event_loop(before)


def test_end_that_is_stored_in_the_background_is_told_by_the_workers_own_loop(
    message: Message, loop: Any
) -> None:
    told: list[str] = []

    class Eventer:
        enabled = True

        def send(self, name: str, **_: Any) -> None:
            told.append(f"{name} by {current_thread().name}")

    message.request._eventer = Eventer()
    message.fail(RuntimeError("the pool has no such child"))
    eventually(lambda: message.fate)
    assert told == []

    eventually(lambda: loop.run_once() or told)

    assert told == [f"task-failed by {current_thread().name}"]


def test_run_that_goes_on_takes_its_message_back_when_it_comes_again(message: Message) -> None:
    again = SimpleNamespace(
        headers={"id": "one"}, delivery_info={"redelivered": True}, channel=object()
    )

    taken = message.request.take_back(again, lambda *_: message.fate.append("again"), None)
    message.request.acknowledge()

    assert (taken, message.fate) == (True, ["again"])


@pytest.mark.parametrize(
    ("headers", "delivery"),
    [({"id": "one", "retries": 1}, {"redelivered": True}), ({"id": "one"}, {})],
    ids=["the next attempt", "another message of the run"],
)
def test_run_that_goes_on_takes_no_other_message(
    message: Message, headers: dict[str, Any], delivery: dict[str, Any]
) -> None:
    other = SimpleNamespace(headers=headers, delivery_info=delivery, channel=object())

    assert not message.request.take_back(other, None, None)


def test_run_that_goes_on_takes_no_twin_of_its_message(message: Message) -> None:
    channel = Channel.__new__(Channel)
    message.request._message = SimpleNamespace(channel=channel)
    twin = SimpleNamespace(
        headers={"id": "one"}, delivery_info={"redelivered": True}, channel=channel
    )

    assert not message.request.take_back(twin, None, None)
