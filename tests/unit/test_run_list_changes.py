"""The word that tells an open list to ask for its rows again."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from celeriac.errors import ResultsUnavailableError
from celeriac.events import Event, EventKind
from celeriac.runs import RunFilter, Runs
from celeriac.web.run_list import changes
from celeriac.web.run_list.changes import CHANGED, HEARTBEAT, words_of_change


class FakeRuns:
    """Gives what a test puts into it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[Event] | Exception] = asyncio.Queue()

    async def listen(self) -> AsyncGenerator[list[Event], None]:
        while True:
            events = await self.queue.get()
            if isinstance(events, Exception):
                raise events
            yield events


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SETTLE_S": 0.01,
        "BETWEEN_S": 0.05,
        "LATE_S": 0.2,
        "HEARTBEAT_S": 0.5,
    }.items():
        monkeypatch.setattr(changes, name, value)


def _event(kind: EventKind = EventKind.STARTED, **data: Any) -> Event:
    return Event("run", kind, datetime.now(UTC), data, "1-0")


async def _words(fake: FakeRuns, wanted: RunFilter, count: int) -> list[bytes]:
    words = words_of_change(cast(Runs, fake), wanted)
    await anext(words)  # How long to wait before coming back.
    found = [await asyncio.wait_for(anext(words), 5) for _ in range(count)]
    await words.aclose()
    return found


def _heard(wanted: RunFilter, *events: list[Event], count: int) -> list[bytes]:
    async def run() -> list[bytes]:
        fake = FakeRuns()
        for each in events:
            fake.queue.put_nowait(each)
        return await _words(fake, wanted, count)

    return asyncio.run(run())


def test_many_events_are_one_word_and_one_more_when_it_is_quiet() -> None:
    burst = [[_event(task="a")] for _ in range(1000)]

    assert _heard(RunFilter(), *burst, count=3) == [CHANGED, CHANGED, HEARTBEAT]


@pytest.mark.parametrize(
    ("wanted", "event"),
    [
        (RunFilter(tasks=("b",)), _event(task="a")),
        (RunFilter(queue="q"), _event(task="a", queue="other")),
        (RunFilter(), _event(EventKind.LOG, text="hello")),
    ],
)
def test_what_the_list_does_not_show_is_no_change(wanted: RunFilter, event: Event) -> None:
    assert _heard(wanted, [event], count=1) == [HEARTBEAT]


@pytest.mark.parametrize("event", [_event(EventKind.PROGRESS), _event(task="b", queue="q")])
def test_what_the_list_may_show_is_a_change(event: Event) -> None:
    assert _heard(RunFilter(tasks=("b",), queue="q"), [event], count=1) == [CHANGED]


def test_redis_that_is_away_is_told() -> None:
    async def run() -> list[bytes]:
        fake = FakeRuns()
        fake.queue.put_nowait(ResultsUnavailableError("away"))
        return [word async for word in words_of_change(cast(Runs, fake), RunFilter())]

    assert asyncio.run(run())[-1] == b"event: unavailable\ndata: 1\n\n"
