"""A network link that a test can cut, slow down or let die: a TCP proxy on loopback."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from processes import LOOPBACK, free_port

CHUNK_BYTES = 65_536


@dataclass
class Link:
    """Leads from `port` to a server; whoever is told this port is at the far end of the link.

    A cut link is silent, as after a cable is pulled: nothing arrives, nobody is told, and what was
    sent meanwhile arrives when it is restored.
    """

    server_port: int
    port: int = field(default_factory=free_port)
    delay_s: float = 0
    """How long everything is under way, in each direction."""

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.flowing = asyncio.Event()
        """Is set as long as data goes through."""
        self.flowing.set()
        self._lines: set[_Line] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def cut(self) -> None:
        """Let nothing through, in neither direction, until it is restored."""
        self._call(self.flowing.clear)

    def restore(self) -> None:
        """Let everything through again."""
        self._call(self.flowing.set)

    def abandon(self) -> None:
        """Leave each connection half-open: no end hears of the other again, new ones work."""
        self._call(self._let_die)

    def hang_up(self) -> None:
        """Close each connection, at both ends; new ones work."""
        self._call(self._let_go)

    def url(self, url: str) -> str:
        """Give the address of the server as it is at the far end."""
        return url.replace(f":{self.server_port}", f":{self.port}")

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Lead through until the block ends."""
        self._thread.start()
        serving = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._lead, LOOPBACK, self.port), self._loop
        ).result(10)
        try:
            yield self
        finally:
            self._call(serving.close)
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def _let_die(self) -> None:
        for line in self._lines:
            line.is_dead = True

    def _let_go(self) -> None:
        for line in self._lines:
            line.task.cancel()

    async def _lead(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Carry what one connection says, both ways, until an end closes it."""
        await self.flowing.wait()
        try:
            far, far_out = await asyncio.open_connection(LOOPBACK, self.server_port)
        except OSError:
            near_out.transport.abort()
            return
        line = _Line(self)
        self._lines.add(line)
        try:
            with suppress(asyncio.CancelledError):  # The test hangs up, or is over.
                await _first_of(line.carry(near, far_out), line.carry(far, near_out))
        finally:
            self._lines.discard(line)
            near_out.close()
            far_out.close()

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, do: Callable[[], object]) -> None:
        """Do something where the connections are, and wait until it is done."""

        async def done() -> None:
            do()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)


class _Line:
    """One connection through a link."""

    def __init__(self, link: Link) -> None:
        self.is_dead = False
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._link = link

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry what comes to the other end, each piece when its time under way is over."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        with suppress(ConnectionError):
            await _first_of(self._take(source, under_way), self._give(under_way, sink))

    async def _take(
        self, source: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        now_s = asyncio.get_running_loop().time
        data = b"-"
        while data:
            data = b""
            with suppress(ConnectionError):
                data = await source.read(CHUNK_BYTES)
            under_way.put_nowait((now_s() + self._link.delay_s, data))
        await asyncio.Future()  # What is under way has yet to arrive.

    async def _give(
        self, under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            due_s, data = await under_way.get()
            await asyncio.sleep(due_s - now_s())
            await self._link.flowing.wait()
            if self.is_dead:
                await asyncio.Future()  # Even that an end has closed the connection is not heard.
            if not data:
                return
            sink.write(data)
            await sink.drain()


async def _first_of(*each: Coroutine[Any, Any, None]) -> None:
    """Run them until one ends, and end the others."""
    tasks = [asyncio.ensure_future(one) for one in each]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
