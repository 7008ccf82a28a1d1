"""Chunks of an answer, on their way from the thread that makes them to the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator

from celeriac.web.gateway.wsgi import Steps

OUTBOX_BYTES = 256 * 1024
"""How far the thread may be ahead of the client."""


class Outbox:
    """Takes chunks from one thread, which waits while it is full, and gives them joined."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._changed = threading.Condition()
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_open = True

    def fill(self, steps: Steps) -> None:
        """Put in all items of a body, or those that somebody still wants, and close the body."""
        try:
            while self._has_room() and (item := next(steps.items, None)) is not None:
                if item:
                    self._put(item)
        finally:
            steps.close()

    def _has_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open or self._size < OUTBOX_BYTES)
            return self._is_open

    def _put(self, item: bytes) -> None:
        with self._changed:
            self._chunks.append(item)
            self._size += len(item)
            is_first = len(self._chunks) == 1
        if is_first:
            self._loop.call_soon_threadsafe(self._filled.set)

    async def chunks(self, filling: asyncio.Future[None]) -> AsyncGenerator[bytes, None]:
        """Give what comes in until `fill`, whose future this is, has ended; pass its error on."""
        filling.add_done_callback(lambda _: self._filled.set())
        while not filling.done() or self._chunks:
            await self._filled.wait()
            self._filled.clear()
            if data := self._take():
                yield data
        filling.result()

    def _take(self) -> bytes:
        with self._changed:
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            self._changed.notify()
            return data

    def close(self) -> None:
        """Let the thread stop: nobody reads any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
