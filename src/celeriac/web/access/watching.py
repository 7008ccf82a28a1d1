"""What goes on for hours, for somebody who may be signed out or revoked meanwhile."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from functools import partial
from typing import Final, TypeAlias, TypeVar

from flask import Response

from celeriac.access.errors import ForbiddenError
from celeriac.runs import BulkProgress, LetterProgress
from celeriac.web.gateway import Chunks, LiveStream

ASKED_EVERY_S: Final = 5.0
NO_LONGER: Final = "Your rights were revoked or changed meanwhile. What was done stays done."
Progress = TypeVar("Progress", BulkProgress, LetterProgress)
Going: TypeAlias = Generator[Progress]
"""An action on many runs or letters: it tells how far it is, and stops where it is closed."""


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


def while_allowed(going: Going[Progress], may_go_on: Callable[[], bool]) -> Going[Progress]:
    """Let an action stop soon after whoever began it may no longer; its last progress says so."""
    asked_s = time.monotonic()
    with closing(going):
        for each in going:
            is_last = each.finished or each.stopped is not None
            if not is_last and time.monotonic() - asked_s >= ASKED_EVERY_S:
                if not may_go_on():
                    going.close()
                    yield each.model_copy(update={"stopped": NO_LONGER})
                    return
                asked_s = time.monotonic()
            yield each


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
