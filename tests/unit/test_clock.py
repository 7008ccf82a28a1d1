"""A worker whose clock is wrong judges instants by the clock that all share."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from celeriac import clock

DUE_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _measured() -> Iterator[None]:
    clock.measured(time.time())
    yield
    clock.measured(time.time())


@pytest.mark.parametrize("hours", [1, -1])
def test_clock_that_is_off_is_reckoned_with(hours: int) -> None:
    clock.measured(time.time() - 3600 * hours)

    shown = clock.on_own_clock(DUE_AT)

    assert shown is not None
    off = shown - (DUE_AT + timedelta(hours=hours))
    assert timedelta(0) <= off < timedelta(seconds=1), "never too early"


def test_clock_that_is_nearly_right_is_taken_for_right() -> None:
    clock.measured(time.time() - clock.TOLERANCE_S / 2)

    assert clock.on_own_clock(DUE_AT) == DUE_AT


@pytest.mark.parametrize("hours", [1, -1])
def test_worker_sends_by_the_shared_clock(hours: int) -> None:
    app = Celery(set_as_current=False)
    own_s = app.now().timestamp()
    for _ in range(2):
        clock.tell_shared_time(app)
    clock.measured(time.time() - 3600 * hours)

    assert app.now().timestamp() - own_s == pytest.approx(-3600 * hours, abs=60)


def test_instant_at_the_end_of_time_stays_there() -> None:
    clock.measured(time.time() - 3600)
    last = datetime.max.replace(tzinfo=UTC)

    assert (clock.on_own_clock(last), clock.on_own_clock(None)) == (last, None)
