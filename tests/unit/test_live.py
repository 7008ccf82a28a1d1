"""What waits for a listener to live events."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.events import Event, EventKind
from celeriac.runs import live
from celeriac.runs.live import MOST_BEHIND, Listener, LiveEvents, Tail


def _events(number: int) -> list[Event]:
    return [Event("a", EventKind.LOG, datetime.now(UTC), id=f"{n}-0") for n in range(number)]


def test_listener_gets_all_that_waits_at_once() -> None:
    async def first() -> list[Event]:
        listener = Listener()
        listener.put(_events(3))
        listener.put(_events(2))
        return await anext(listener.taken())

    assert len(asyncio.run(first())) == 5


def test_listener_that_does_not_keep_up_is_sent_away() -> None:
    async def taken() -> tuple[bool, list[int]]:
        listener = Listener()
        listener.put(_events(MOST_BEHIND))
        keeps_up = listener.put(_events(1))
        return keeps_up, [len(events) async for events in listener.taken()]

    assert asyncio.run(taken()) == (False, [MOST_BEHIND])


def test_sign_of_life_is_an_empty_list() -> None:
    async def first() -> list[Event]:
        listener = Listener()
        listener.put([])
        return await anext(listener.taken())

    assert asyncio.run(first()) == []


@pytest.mark.parametrize("steps", range(5))
def test_listener_goes_when_it_is_cancelled_though_events_come_at_that_moment(steps: int) -> None:
    async def is_cancelled() -> bool:
        listener = Listener()

        async def listen() -> None:
            async for _ in listener.taken():
                pass

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.01)
        listener.put(_events(1))
        for _ in range(steps):
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait({listening}, timeout=5)
        return listening.cancelled()

    assert asyncio.run(is_cancelled())


class Closing:
    """A stream of one event, on a connection whose closing takes as long as the test says."""

    def __init__(self, event: Event) -> None:
        self._fields = event.fields()
        self.told = asyncio.Event()
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()

    async def xrevrange(self, *_: Any, **__: Any) -> list[Any]:
        return [("1-0", self._fields)]

    async def xread(self, *_: Any, **__: Any) -> list[Any]:
        await self.told.wait()
        self.told.clear()
        return [("celeriac-events", [("2-0", self._fields)])]

    async def aclose(self) -> None:
        self.closing.set()
        await self.may_close.wait()


def test_listener_that_comes_while_the_reader_closes_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = Event("one", EventKind.SUCCEEDED, at=datetime.now(UTC))

    async def listen() -> list[Event]:
        events = LiveEvents("redis://nowhere")
        redis: Any = Closing(event)
        monkeypatch.setattr(Tail, "_connect", lambda _: redis)
        first = events.listen("one")
        await anext(first)
        await first.aclose()  # The last listener goes, and the reader notices at the next event.
        redis.told.set()
        await redis.closing.wait()
        redis.told.clear()

        second = events.listen("one")
        assert await asyncio.wait_for(anext(second), 5) == []  # The other one closes still.
        redis.told.set()
        found = await asyncio.wait_for(anext(second), 5)
        redis.may_close.set()
        await second.aclose()
        redis.told.set()
        return found

    found = asyncio.run(listen())

    assert [each.id for each in found] == ["2-0"]


class Failing(Closing):
    """A connection on which reading meets a fault of ours."""

    async def xread(self, *_: Any, **__: Any) -> list[Any]:
        raise ZeroDivisionError


def test_listeners_come_back_when_the_reader_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Event("one", EventKind.SUCCEEDED, at=datetime.now(UTC))

    async def listen() -> list[list[Event]]:
        redis = Failing(event)
        redis.may_close.set()
        monkeypatch.setattr(Tail, "_connect", lambda _: redis)
        return [events async for events in LiveEvents("redis://nowhere").listen()]

    assert asyncio.run(asyncio.wait_for(listen(), 5)) == [[], []]


def test_listener_hears_a_sign_of_life_whatever_the_reader_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "SILENT_S", 0.01)

    async def first() -> list[Event]:
        return await anext(Listener().taken())

    assert asyncio.run(asyncio.wait_for(first(), 5)) == []
