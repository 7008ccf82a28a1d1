"""What goes on for hours, for somebody who may be signed out or revoked meanwhile."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

from flask import Response

from celeriac.access.errors import ForbiddenError
from celeriac.web.gateway import Chunks, LiveStream

ASKED_EVERY_S: Final = 5.0


class WatchedReader(io.BufferedReader):
    """A body that is read line by line; it fails soon after whoever sends it may no longer."""

    def __init__(self, raw: io.RawIOBase, may_go_on: Callable[[], bool], buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self._may_go_on = may_go_on
        self._asked_s = time.monotonic()

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line, which may take minutes to come.

        Raises:
            ForbiddenError: it came too late.
        """
        line = super().readline(size)
        if time.monotonic() - self._asked_s >= ASKED_EVERY_S:
            if not self._may_go_on():
                raise ForbiddenError(
                    "Your rights were revoked or changed while this was sent. Neither this line "
                    "nor any after it was submitted."
                )
            self._asked_s = time.monotonic()
        return line


def watch(response: Response, may_go_on: Callable[[], bool]) -> None:
    """Let a live stream end soon after whoever reads it may no longer."""
    if isinstance(stream := response.response, LiveStream):
        watched = LiveStream(partial(_while_allowed, stream.open, may_go_on))
        response.response = watched


async def _while_allowed(
    open_stream: Chunks, may_go_on: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """Ask at the stream's own signs of life, which come every few seconds at the latest."""
    asked_s = time.monotonic()
    async with aclosing(open_stream()) as chunks:
        async for chunk in chunks:
            if time.monotonic() - asked_s >= ASKED_EVERY_S:
                if not await asyncio.to_thread(may_go_on):
                    return
                asked_s = time.monotonic()
            yield chunk
