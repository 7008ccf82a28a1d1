"""How far the history is behind, as a real Redis and a real Valkey tell."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from celeriac.errors import HistoryUnavailableError
from celeriac.events import STREAM, Event, EventKind
from celeriac.history import History
from celeriac.lag import GROUP, SIGN_OF_LIFE, backlog, read_lag, show_life
from celeriac.recorder import Recorder
from eventually import eventually
from servers import RedisServer


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        yield client


def _add(client: Any, age_s: float = 0) -> None:
    at_ms = int((datetime.now(UTC) - timedelta(seconds=age_s)).timestamp() * 1000)
    event = Event("a", EventKind.SUBMITTED, datetime.now(UTC), {"task": "t"})
    client.xadd(STREAM, event.fields(), id=f"{at_ms}-*")


def test_nothing_waits_where_nothing_ever_happened(client: Any) -> None:
    lag = read_lag(client)

    assert (lag.entries, lag.waiting_s, lag.last_recorded_at) == (0, 0, None)
    assert not lag.is_running and not lag.is_noteworthy


def test_all_waits_before_the_first_recorder(client: Any) -> None:
    _add(client, age_s=30)
    _add(client)

    lag = read_lag(client)

    assert lag.entries == 2
    assert 29 < lag.waiting_s < 40
    assert lag.is_noteworthy and "2 events wait" in lag.words and "No recorder runs" in lag.words


def test_what_was_taken_and_not_acknowledged_waits_too(client: Any) -> None:
    for age_s in (60, 40, 20):
        _add(client, age_s)
    client.xgroup_create(STREAM, GROUP, id="0")
    ((_, taken),) = client.xreadgroup(GROUP, "r", {STREAM: ">"}, count=2)
    client.xack(STREAM, GROUP, taken[0][0])

    lag = read_lag(client)

    assert lag.entries == 2
    assert 39 < lag.waiting_s < 50
    assert lag.last_recorded_at is not None
    assert 59 < (datetime.now(UTC) - lag.last_recorded_at).total_seconds() < 70


def test_nothing_waits_once_all_is_acknowledged(client: Any) -> None:
    _add(client, age_s=5)
    client.xgroup_create(STREAM, GROUP, id="0")
    ((_, taken),) = client.xreadgroup(GROUP, "r", {STREAM: ">"})
    client.xack(STREAM, GROUP, *(entry[0] for entry in taken))

    lag = read_lag(client)

    assert (lag.entries, lag.waiting_s) == (0, 0)
    assert lag.last_recorded_at is not None


def test_entries_are_counted_where_redis_does_not_know_how_many(client: Any) -> None:
    for _ in range(5):
        _add(client)
    middle = client.xrange(STREAM)[2][0]
    client.xgroup_create(STREAM, GROUP, id=middle)
    client.xdel(STREAM, client.xrange(STREAM)[3][0])
    assert client.xinfo_groups(STREAM)[0]["lag"] is None

    assert read_lag(client).entries == 1


def test_far_behind_says_at_least_where_redis_does_not_know_how_many(client: Any) -> None:
    with client.pipeline() as pipe:
        for _ in range(1250):
            pipe.xadd(STREAM, Event("a", EventKind.LOG, datetime.now(UTC), {}).fields())
        pipe.execute()
    middle = client.xrange(STREAM, count=3)[-1][0]
    client.xgroup_create(STREAM, GROUP, id=middle)
    client.xdel(STREAM, client.xrange(STREAM, count=4)[-1][0])

    lag = read_lag(client)

    assert 1000 <= lag.entries < 1246 and not lag.is_exact
    assert f"At least {lag.entries:,} events wait to be recorded" in lag.words


def test_backlog_leaves_out_what_is_recorded_already(client: Any) -> None:
    assert backlog(client) == 0
    for _ in range(5):
        _add(client)
    assert backlog(client) == 5
    client.xgroup_create(STREAM, GROUP, id="0")
    ((_, taken),) = client.xreadgroup(GROUP, "r", {STREAM: ">"}, count=3)
    client.xack(STREAM, GROUP, *(entry[0] for entry in taken[:2]))

    assert backlog(client) == 3


def test_sign_of_life_ends_by_itself(client: Any) -> None:
    show_life(client)

    assert read_lag(client).is_running
    assert 0 < client.ttl(SIGN_OF_LIFE) <= 10


class _Stuck:
    """A history that cannot be written until it is mended."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.is_mended = False

    def apply(self, events: list[Event]) -> None:
        if not self.is_mended:
            raise HistoryUnavailableError("The disk is full.")
        self._history.apply(events)

    def prune(self, *_: Any) -> Iterator[None]:
        return iter(())


def test_recorder_says_what_keeps_it_and_when_it_is_over(
    server: RedisServer, client: Any, history: History
) -> None:
    stuck: Any = _Stuck(history)
    stop = Flag()
    recorder = Recorder(server.url, stuck, keep=timedelta(days=90))
    thread = Thread(target=recorder.run, args=(stop,))
    thread.start()
    try:
        assert eventually(lambda: read_lag(client).is_running)
        _add(client)
        lag = eventually(lambda: (found := read_lag(client)).problem and found)
        assert lag.entries == 1 and lag.is_noteworthy
        assert lag.words == "The history is not written: The disk is full."
        stuck.is_mended = True

        lag = eventually(lambda: not (found := read_lag(client)).problem and found)
        assert lag.is_running
        assert lag.words == "The recorder runs. Nothing waits to be recorded."
    finally:
        stop.set()
        thread.join(10)
