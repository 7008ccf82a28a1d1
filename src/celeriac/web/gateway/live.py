"""Answers that take their time, as a view gives them; they hold none of the few short threads."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass

from flask import Response, copy_current_request_context, current_app, make_response, request
from flask.typing import ResponseReturnValue

Chunks = Callable[[], AsyncGenerator[bytes, None]]
Until = Callable[[], Awaitable[object]]

ENVIRON_KEY = "celeriac.gateway"
"""Set in the environ of a request that came through the gateway."""

log = logging.getLogger(__name__)


class LiveStream:
    """The body of an answer that the event loop sends as it comes; an open one holds no thread.

    Any other WSGI server iterates over it, which works the same and holds one of its threads.
    """

    def __init__(self, open: Chunks) -> None:
        self.open = open
        self._iteration: Generator[bytes, None, None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._iteration = self._iterate()
        return self._iteration

    def close(self) -> None:
        """End what a server iterates over, and has no more use for."""
        if self._iteration is not None:
            self._iteration.close()

    def _iterate(self) -> Generator[bytes, None, None]:
        with asyncio.Runner() as runner:
            chunks = self.open()

            async def take() -> bytes | None:
                return await anext(chunks, None)

            try:
                while (chunk := runner.run(take())) is not None:
                    yield chunk
            finally:
                runner.run(chunks.aclose())


@dataclass(frozen=True)
class Later:
    """The body of an answer that is not made yet; see `answer_later`."""

    respond: Callable[[], Response]
    until: Until | None

    def __iter__(self) -> Iterator[bytes]:
        raise TypeError("Only the gateway understands this body.")

    async def wait(self) -> None:
        """Wait until the answer can be made; when that fails, `respond` says what is wrong."""
        if self.until is None:
            return
        try:
            await self.until()
        except Exception:
            log.warning("A wait failed; the request is answered without it.", exc_info=True)


def live_response(chunks: Chunks, mimetype: str = "text/event-stream") -> Response:
    """Answer with a live stream: `chunks` is called, and iterated over, on the event loop."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(LiveStream(chunks), mimetype=mimetype, headers=headers, direct_passthrough=True)


def is_unfinished(response: Response) -> bool:
    """Tell whether the real answer is made later; what is done after an answer waits for that."""
    return isinstance(response.response, Later)


def answer_later(
    respond: Callable[[], ResponseReturnValue], until: Until | None = None
) -> Response:
    """Answer the current request with what `respond` returns, later.

    `until` is awaited on the event loop; it is given up when the client goes or the server stops.
    Without it `respond` may block, and gets a thread of its own. `respond` runs in the request's
    context, the app's error handlers see what it raises, and its after-request functions run twice.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    @copy_current_request_context
    def finish() -> Response:
        try:
            answer = respond()
        except Exception as error:
            answer = app.handle_user_exception(error)
        finished: Response = app.finalize_request(answer)
        return finished

    later = Later(finish, until)
    if ENVIRON_KEY in request.environ:
        return Response(later, direct_passthrough=True)
    asyncio.run(later.wait())
    return make_response(respond())
