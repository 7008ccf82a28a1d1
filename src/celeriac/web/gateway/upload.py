"""The body of a request, on its way from the event loop to the thread that reads it."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, BinaryIO

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SHORT_BODY_BYTES = 64 * 1024
"""A body up to here is read before a thread is taken."""

SLOWEST_BYTES_S = 2048
"""What comes at this rate on the whole may take as long as it needs."""


class Upload:
    """Reads a request's body, as far as somebody asks for it: granian holds the client back."""

    def __init__(self, scope: dict[str, Any], receive: Receive, patience_s: float) -> None:
        self._receive = receive
        self._ahead = b""
        self._most_patience_s = self._patience_s = patience_s
        self._end = asyncio.Event()
        if not _has_body(scope):
            self._end.set()

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing more is to come."""
        return self._end.is_set()

    async def read_ahead(self) -> None:
        """Read until the end of a short body, or until it is known to be long.

        Raises:
            ClientDisconnected: the client has gone.
            RequestTimeout: the body comes too slowly.
        """
        ahead = bytearray()
        while not self.is_complete and len(ahead) <= SHORT_BODY_BYTES:
            ahead += await self.take()
        self._ahead = bytes(ahead)

    async def take(self) -> bytes:
        """Take the next chunk from the client; empty at the end.

        Raises:
            ClientDisconnected: the client has gone.
            RequestTimeout: the body comes too slowly.
        """
        if self.is_complete:
            return b""
        message = await self._wait()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if not message.get("more_body"):
            self._end.set()
        chunk: bytes = message.get("body", b"")
        earned_s = len(chunk) / SLOWEST_BYTES_S
        self._patience_s = min(self._most_patience_s, self._patience_s + earned_s)
        return chunk

    async def _wait(self) -> Message:
        """Wait for the client; only the time in which it is asked for more counts against it."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._receive()
        except TimeoutError:
            raise RequestTimeout("The body came too slowly. Send it again.") from None
        finally:
            self._patience_s -= time.monotonic() - began_s

    async def wait_for_disconnect(self) -> None:
        """Return when the client is gone; while its body is coming, the reader notices that."""
        await self._end.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def open(self) -> BinaryIO:
        """Give the body as a file, for any one thread to read."""
        if self.is_complete:
            return io.BytesIO(self._ahead)
        return io.BufferedReader(_RawUpload(self, self._ahead), SHORT_BODY_BYTES)


def _has_body(scope: dict[str, Any]) -> bool:
    """HTTP/1 announces a body; HTTP/2 need not."""
    names = {name for name, _ in scope["headers"]}
    return not (scope["http_version"].startswith("1") and names.isdisjoint(BODY_HEADERS))


BODY_HEADERS = {b"content-length", b"transfer-encoding"}


class _RawUpload(io.RawIOBase):
    def __init__(self, upload: Upload, ahead: bytes) -> None:
        self._upload = upload
        self._chunk = memoryview(ahead)
        self._loop = asyncio.get_running_loop()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._chunk and not self._upload.is_complete:
            taking = asyncio.run_coroutine_threadsafe(self._upload.take(), self._loop)
            self._chunk = memoryview(taking.result())
        size = min(len(buffer), len(self._chunk))
        buffer[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size
