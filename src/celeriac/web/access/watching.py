"""Streams that go on for hours, to somebody who may be signed out or revoked meanwhile."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

from flask import Response

from celeriac.web.gateway import Chunks, LiveStream

ASKED_EVERY_S: Final = 5.0


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
