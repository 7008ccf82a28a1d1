"""Events as they happen, for any number of listeners in one process: one reader, many queues.

Everything here runs on an event loop. Each loop has one `Tail`, which reads the stream while
somebody listens. A listener that does not keep up is dropped rather than buffered without bound; it
comes back with the last identifier it saw and misses nothing, as long as the stream still holds it.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import redis

from celeriac.errors import ResultsUnavailableError
from celeriac.events import STREAM, Event
from celeriac.redis_client import close_on_loop, connect_on_loop

HEARTBEAT_S = 15.0
SILENT_S = 20.0
"""The longest that a listener hears nothing, whatever the reader does."""
MOST_BEHIND = 4096
"""Events that may wait for one listener before it is dropped."""
PAGE = 1000
COLLECT_S = 0.0001
"""How long events are collected, for each listener: a thousand get them ten times a second."""
BLOCK_MS = 5000
ANSWER_WITHIN_S = 5.0
RETRY_S = 1.0

log = logging.getLogger(__name__)


class Listener:
    """What waits for one listener; it wakes once for as many events as are there."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._is_dropped = False

    def put(self, events: list[Event]) -> bool:
        """Add events, none of them for a sign of life; tells whether the listener keeps up."""
        self._events += events
        self._is_dropped = len(self._events) > MOST_BEHIND
        self._news.set()
        return not self._is_dropped

    def drop(self) -> None:
        """Send the listener away."""
        self._is_dropped = True
        self._news.set()

    async def taken(self) -> AsyncGenerator[list[Event], None]:
        """Give all that is there, again and again, until the listener is too far behind."""
        is_last = False
        while not is_last:
            # A sign of life comes even where the reader hangs.
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENT_S):
                    await self._news.wait()
            self._news.clear()
            is_last = self._is_dropped
            events, self._events = self._events, []
            yield events[:MOST_BEHIND]


class LiveEvents:
    """The stream of events, for listeners on the loop that they are on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tails: WeakKeyDictionary[asyncio.AbstractEventLoop, Tail] = WeakKeyDictionary()

    async def listen(
        self, run_id: str | None = None, after: str | None = None
    ) -> AsyncGenerator[list[Event], None]:
        """Give the events of one run, or of all, that come after `after`, as many as are there.

        An empty list is a sign of life; the first says that from here on nothing is missed, the
        second, where there is an `after`, that all has been given which had been. Ends when the
        listener has fallen too far behind.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        tail = self._tail()
        with tail.listener(run_id) as listener:
            try:
                position = await tail.position()
                yield []
                if after:
                    async with aclosing(tail.between(after, position, run_id)) as pages:
                        async for events in pages:
                            if events:
                                yield events
                    yield []
            except (redis.RedisError, OSError) as error:
                raise ResultsUnavailableError("The stream of events cannot be read.") from error
            async for events in listener.taken():
                yield [event for event in events if _is_after(event.id, position)]

    def _tail(self) -> "Tail":
        loop = asyncio.get_running_loop()
        if loop not in self._tails:
            self._tails[loop] = Tail(self._url)
        return self._tails[loop]


class Tail:
    """Reads the end of the stream on one loop and hands each event to those who want it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: defaultdict[str | None, set[Listener]] = defaultdict(set)
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._position = "0-0"
        self._shown_s = time.monotonic()

    @contextmanager
    def listener(self, run_id: str | None) -> Iterator[Listener]:
        """Register somebody who gets the events of a run, or of all."""
        listener = Listener()
        self._listeners[run_id].add(listener)
        try:
            yield listener
        finally:
            self._forget(run_id, listener)

    async def position(self) -> str:
        """Give the place in the stream from which listeners get everything."""
        async with self._starting:
            if self._reading is None:
                client = self._connect()
                try:
                    self._position = await _last_id(client)
                except BaseException:
                    await close_on_loop(client)
                    raise
                self._reading = asyncio.create_task(self._read(client))
                # Let it begin: cancelled before its first step, it would leave the client open.
                await asyncio.sleep(0)
        return self._position

    async def between(
        self, after: str, last: str, run_id: str | None
    ) -> AsyncGenerator[list[Event], None]:
        """Give the events after one place up to another, a page at a time."""
        start = f"({after}"
        client = self._connect()
        try:
            while entries := await client.xrange(STREAM, start, last, count=PAGE):
                wanted = (e for e in entries if run_id in (None, e[1].get("run")))
                yield [event for entry in wanted if (event := _event(entry))]
                start = f"({entries[-1][0]}"
        finally:
            await close_on_loop(client)

    def _connect(self) -> Any:
        """Give a client of one's own, which has longer to answer than a read waits for news."""
        return connect_on_loop(self._url, timeout_s=BLOCK_MS / 1000 + ANSWER_WITHIN_S)

    async def _read(self, client: Any) -> None:
        """Read while there are listeners; a Redis that is away is tried again."""
        try:
            while any(self._listeners.values()):
                await self._read_once(client)
                await asyncio.sleep(COLLECT_S * sum(map(len, self._listeners.values())))
        except Exception:
            log.exception("The reader of events failed; all listeners have to come back.")
            self._drop_all()
        finally:
            # Nothing is awaited between the last look at the listeners and this, so whoever comes
            # from here on starts a reader anew, however long the closing takes.
            self._reading = None
            await close_on_loop(client)

    async def _read_once(self, client: Any) -> None:
        try:
            found = await client.xread({STREAM: self._position}, count=PAGE, block=BLOCK_MS)
            if not found:
                await self._look_for_a_new_stream(client)
        except (redis.RedisError, OSError) as error:
            log.warning("The stream of events cannot be read (%s); trying again.", error)
            await asyncio.sleep(RETRY_S)
            found = []
        for _, entries in found or ():
            self._position = entries[-1][0]
            self._hand_out([event for entry in entries if (event := _event(entry))])
        self._show_life()

    def _hand_out(self, events: list[Event]) -> None:
        by_run: defaultdict[str | None, list[Event]] = defaultdict(list, {None: events})
        for event in events:
            by_run[event.run_id].append(event)
        for run_id, its_events in by_run.items():
            for listener in tuple(self._listeners.get(run_id, ())):
                if not listener.put(its_events):
                    self._forget(run_id, listener)

    def _show_life(self) -> None:
        """Let all know once in a while that nothing is wrong, even if nothing happens."""
        if time.monotonic() - self._shown_s >= HEARTBEAT_S:
            self._shown_s = time.monotonic()
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.put([])

    async def _look_for_a_new_stream(self, client: Any) -> None:
        """Go back where the stream ends before our place: Redis was emptied, its clock behind."""
        last = await _last_id(client)
        if _order(last) < _order(self._position):
            log.warning("The stream of events begins anew; all listeners have to come back.")
            self._position = "0-0"
            self._drop_all()

    def _drop_all(self) -> None:
        for run_id, listeners in tuple(self._listeners.items()):
            for listener in tuple(listeners):
                listener.drop()
                self._forget(run_id, listener)

    def _forget(self, run_id: str | None, listener: Listener) -> None:
        self._listeners[run_id].discard(listener)
        if not self._listeners[run_id]:
            del self._listeners[run_id]


async def _last_id(client: Any) -> str:
    entries: list[Any] = await client.xrevrange(STREAM, count=1)
    return str(entries[0][0]) if entries else "0-0"


def _event(entry: tuple[str, Mapping[str, str]]) -> Event | None:
    try:
        return Event.of_entry(*entry)
    except ValueError:
        log.warning("Skipped an entry of %s that is no event: %s", STREAM, entry[0])
        return None


def _is_after(event_id: str | None, position: str) -> bool:
    return event_id is not None and _order(event_id) > _order(position)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
