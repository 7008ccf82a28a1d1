"""What is told of a message that our app sends."""

import os
from datetime import UTC, datetime

import pytest
from celery import Celery

from celeriac.events import Event, EventKind
from celeriac.publishing import Teller, _submission


@pytest.fixture
def app() -> Celery:
    app = Celery("publishing", backend="celeriac+redis://127.0.0.1:1", set_as_current=False)
    app.conf.timezone = "Asia/Tokyo"
    return app


@pytest.mark.parametrize("eta", ["2030-01-01T00:00:00", "2030-01-01T09:00:00+09:00"])
def test_eta_is_told_as_workers_read_it(app: Celery, eta: str) -> None:
    message = app.amqp.as_task_v2("one", "a.task", (), {})
    message.headers["eta"] = eta

    event = _submission(app, message, {}, datetime.now(UTC))

    assert event is not None
    told = datetime.fromisoformat(event.fields()["data"].partition('"eta": "')[2].split('"')[0])
    assert told == datetime(2030, 1, 1, tzinfo=UTC)


def test_forked_child_waits_for_nobody_who_was_telling(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Teller, "_serve", lambda _: None)
    teller, read_end, write_end = Teller(app), *os.pipe()
    with teller._lock:  # As another thread may have it.
        child = os.fork()
        if child == 0:
            teller.tell(Event("one", EventKind.SUBMITTED, datetime.now(UTC)))
            os.write(write_end, b"told")
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)

    with os.fdopen(read_end) as answer:
        assert answer.read() == "told"
