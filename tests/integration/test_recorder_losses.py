"""What the recorder makes of a stream that was cut, lost, or holds what is no event."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac.events import STREAM, Event, EventKind
from celeriac.history import History
from celeriac.lag import read_lag
from celeriac.recorder import GROUP
from eventually import eventually
from recording import NOW, Recording, life

A_MINUTE_MS = 60_000


def test_entries_that_are_no_events_are_skipped_and_counted(
    redis_url: str, stream: Any, history: History
) -> None:
    stream.xadd(STREAM, {"nonsense": "yes"})
    stream.xadd(STREAM, {"run": "x", "kind": "exploded", "at": "now", "data": "{}"})
    stream.xadd(STREAM, {"run": "x", "kind": "log", "at": NOW.isoformat(), "data": '"text"'})
    life(stream, "one")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)

    assert (losses := read_lag(stream).losses) and losses.entries == 3


def test_group_that_is_lost_is_made_again_and_counts_nothing_twice(
    redis_url: str, stream: Any, history: History
) -> None:
    with Recording(redis_url, history) as recorder:
        life(stream, "one")
        eventually(lambda: recorder.lag() == 0 and history.get("one"))
        stream.xgroup_destroy(STREAM, GROUP)
        life(stream, "two")
        eventually(lambda: history.get("two"))
        eventually(lambda: recorder.lag() == 0)

    minute = timedelta(minutes=1)
    assert history.stats(NOW - minute, NOW + minute).total.submitted == 2


def test_stream_that_is_lost_begins_anew_with_lower_places(
    redis_url: str, stream: Any, history: History
) -> None:
    with Recording(redis_url, history) as recorder:
        life(stream, "one")
        eventually(lambda: history.get("one"))
        newest_ms = int(stream.xinfo_stream(STREAM)["last-generated-id"].split(b"-")[0])
        stream.flushdb()
        for number in range(3):
            event = Event("two", EventKind.SUBMITTED, NOW, {"task": "a"})
            stream.xadd(STREAM, event.fields(), id=f"{newest_ms - A_MINUTE_MS}-{number}")
        eventually(lambda: history.get("two"))
        eventually(lambda: recorder.lag() == 0)


def test_entries_whose_way_here_was_cut_are_recorded(
    redis_url: str, stream: Any, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recording(redis_url, history) as recorder:
        eventually(lambda: stream.exists(STREAM))
        take = recorder._redis.xreadgroup

        def cut(*args: Any, **options: Any) -> None:
            if take(*args, **options):
                monkeypatch.undo()
                raise ConnectionError("The answer was lost.")

        monkeypatch.setattr(recorder._redis, "xreadgroup", cut)
        life(stream, "one")

        eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)


def test_events_that_left_the_stream_before_they_were_read_are_counted(
    redis_url: str, stream: Any, history: History
) -> None:
    with Recording(redis_url, history) as recorder:
        life(stream, "before")
        eventually(lambda: recorder.lag() == 0 and history.get("before"))
    for number in range(50):
        life(stream, f"run-{number}")
    stream.xtrim(STREAM, maxlen=3 * 20, approximate=False)

    with Recording(redis_url, history) as recorder:
        eventually(lambda: history.get("run-49"))
        eventually(lambda: recorder.lag() == 0)
        life(stream, "after")
        eventually(lambda: history.get("after"))

    lag = read_lag(stream)
    assert lag.losses and lag.losses.entries == 3 * 30
    assert lag.is_noteworthy and "90 events were lost" in lag.words
    assert history.count().total == 1 + 20 + 1


def test_entries_that_left_the_stream_while_they_were_pending_are_counted(
    redis_url: str, stream: Any, history: History
) -> None:
    life(stream, "one")
    stream.xgroup_create(STREAM, GROUP, id="0")
    stream.xreadgroup(GROUP, GROUP, {STREAM: ">"})
    stream.xtrim(STREAM, maxlen=0, approximate=False)

    with Recording(redis_url, history):
        eventually(lambda: (found := read_lag(stream).losses) and found.entries == 3)
