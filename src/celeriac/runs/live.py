"""Events as they happen, for any number of listeners in one process: one reader, many queues.

Everything here runs on an event loop. Each loop has one `Tail`, which reads the stream while
somebody listens. A listener that does not keep up is dropped rather than buffered without bound; it
comes back with the last identifier it saw and misses nothing, as long as the stream still holds it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import redis
from redis.asyncio import Redis

from celeriac.errors import ResultsUnavailableError
from celeriac.events import STREAM, Event

HEARTBEAT_S = 15.0
MOST_BEHIND = 512
"""Events that may wait for one listener before it is dropped."""
PAGE = 500
BLOCK_MS = 5000
RETRY_S = 1.0

log = logging.getLogger(__name__)

Listener = asyncio.Queue[Event | None]


class LiveEvents:
    """The stream of events, for listeners on the loop that they are on."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("redis+socket://", "unix://")
        self._tails: WeakKeyDictionary[asyncio.AbstractEventLoop, Tail] = WeakKeyDictionary()

    async def listen(
        self, run_id: str | None = None, after: str | None = None
    ) -> AsyncGenerator[list[Event], None]:
        """Give the events of one run, or of all, that come after `after`, as many as are there.

        An empty list is a sign of life; the first says that from here on nothing is missed. Ends
        when the listener has fallen too far behind.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        tail = self._tail()
        with tail.listener(run_id) as queue:
            try:
                position = await tail.position()
                yield []
                if after:
                    async for events in tail.between(after, position, run_id):
                        yield events
            except (redis.RedisError, OSError) as error:
                raise ResultsUnavailableError("The stream of events cannot be read.") from error
            async for events in _taken(queue):
                yield [event for event in events if _is_after(event.id, position)]

    def _tail(self) -> "Tail":
        loop = asyncio.get_running_loop()
        if loop not in self._tails:
            self._tails[loop] = Tail(self._url)
        return self._tails[loop]


class Tail:
    """Reads the end of the stream on one loop and hands each event to those who want it."""

    def __init__(self, url: str) -> None:
        # The types cannot tell that answers are decoded.
        self._redis: Any = Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=2,
            socket_timeout=2 * BLOCK_MS / 1000,  # Longer than a read waits for news.
        )
        self._listeners: defaultdict[str | None, set[Listener]] = defaultdict(set)
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._position = "0-0"

    @contextmanager
    def listener(self, run_id: str | None) -> Iterator[Listener]:
        """Register a queue that gets the events of a run, or of all; None in it is the end."""
        queue: Listener = asyncio.Queue(MOST_BEHIND)
        self._listeners[run_id].add(queue)
        try:
            yield queue
        finally:
            self._forget(run_id, queue)

    async def position(self) -> str:
        """Give the place in the stream from which listeners get everything."""
        async with self._starting:
            if self._reading is None or self._reading.done():
                self._position = await self._last_id()
                self._reading = asyncio.create_task(self._read())
        return self._position

    async def between(
        self, after: str, last: str, run_id: str | None
    ) -> AsyncGenerator[list[Event], None]:
        """Give the events after one place up to another, a page at a time."""
        start = f"({after}"
        while entries := await self._redis.xrange(STREAM, start, last, count=PAGE):
            found = filter(None, map(_event, entries))
            yield [event for event in found if run_id in (None, event.run_id)]
            start = f"({entries[-1][0]}"

    async def _read(self) -> None:
        """Read while there are listeners; a Redis that is away is tried again."""
        try:
            while any(self._listeners.values()):
                await self._read_once()
        finally:
            await self._redis.aclose()

    async def _read_once(self) -> None:
        try:
            found = await self._redis.xread({STREAM: self._position}, count=PAGE, block=BLOCK_MS)
        except (redis.RedisError, OSError) as error:
            log.warning("The stream of events cannot be read (%s); trying again.", error)
            await asyncio.sleep(RETRY_S)
            return
        for _, entries in found or ():
            for entry in entries:
                self._hand_out(entry)

    def _hand_out(self, entry: tuple[str, Mapping[str, str]]) -> None:
        self._position = entry[0]
        event = _event(entry)
        if event is None:
            return
        for key in (event.run_id, None):
            for queue in tuple(self._listeners.get(key, ())):
                if queue.full():
                    self._drop(key, queue)
                else:
                    queue.put_nowait(event)

    def _drop(self, run_id: str | None, queue: Listener) -> None:
        self._forget(run_id, queue)
        queue.get_nowait()
        queue.put_nowait(None)

    def _forget(self, run_id: str | None, queue: Listener) -> None:
        self._listeners[run_id].discard(queue)
        if not self._listeners[run_id]:
            del self._listeners[run_id]

    async def _last_id(self) -> str:
        entries: list[Any] = await self._redis.xrevrange(STREAM, count=1)
        return str(entries[0][0]) if entries else "0-0"


async def _taken(queue: Listener) -> AsyncGenerator[list[Event], None]:
    """Give all that is in a queue, again and again, nothing after a while, until it is closed."""
    while True:
        try:
            events = [await asyncio.wait_for(queue.get(), HEARTBEAT_S)]
        except TimeoutError:
            yield []
            continue
        while not queue.empty():
            events.append(queue.get_nowait())
        yield [event for event in events if event]
        if events[-1] is None:
            return


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
