"""The ASGI application that granian calls, around the WSGI application that Flask is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from celeriac.web.gateway.live import Later, LiveStream
from celeriac.web.gateway.outbox import Outbox
from celeriac.web.gateway.refusals import SLOW_BODY, Patience, refusal_of
from celeriac.web.gateway.threads import ShortThreads, run_in_own_thread
from celeriac.web.gateway.upload import Message, Receive, Upload
from celeriac.web.gateway.wsgi import AppCall, Reply, Steps, make_environ, plain_reply

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

T = TypeVar("T")
Send = Callable[[Message], Awaitable[None]]
Step = Coroutine[Any, Any, None]

LONG_THREAD_TIMEOUT_S = 10.0
"""How long a long request waits for a thread of its own before it is refused."""

CUT_OFF = plain_reply(
    503,
    b"The server stops before this was done; it may be carried out all the same. Try again.\n",
    retry_after=b"1",
)
BUSY = plain_reply(503, b"Too many long requests are open. Try again.\n", retry_after=b"5")


class StalledReaderError(Exception):
    """A client takes nothing of its answer, so its connection is cut; granian's log tells of it."""


class Gateway:
    """Answers each HTTP request with what `app`, called in a thread, says.

    Short calls share `short_threads`; each large upload, answer made step by step, or blocking wait
    has one of `long_threads` to itself; live streams and awaited waits need none.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        short_threads: int = 32,
        long_threads: int = 256,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        self._app = app
        self._patience = patience
        self._short: ShortThreads[Reply] = ShortThreads(short_threads)
        self._free_long_threads = asyncio.Semaphore(long_threads)
        self._stopping = asyncio.Event()
        self._unanswered: set[asyncio.Future[Reply]] = set()

    def stop(self) -> None:
        """End live streams and waits, so that open requests finish soon."""
        self._stopping.set()

    def cut_off(self) -> None:
        """Answer what still waits for the app, since nobody will wait any longer."""
        for future in self._unanswered:
            if not future.done():
                future.set_result(CUT_OFF)

    async def _answer_of(self, future: asyncio.Future[Reply]) -> Reply:
        self._unanswered.add(future)
        try:
            return await future
        finally:
            self._unanswered.discard(future)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ValueError: the scope is not HTTP, as ASGI asks for.
        """
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served here, not {scope['type']}.")
        upload = Upload(scope, receive, self._patience.body_s)
        if refusal := refusal_of(scope):
            return await self._send(refusal, send, upload)
        try:
            await upload.read_ahead()
        except ClientDisconnected:
            return None
        except RequestTimeout:
            return await self._send(SLOW_BODY, send, upload)
        environ = make_environ(scope, upload.open())
        call = AppCall(self._app, environ).reply
        short = upload.is_complete
        reply = await (self._reply_short(call) if short else self._reply_long(call))
        if isinstance(reply.body, Later):
            reply = await self._reply_later(reply.body, environ, upload)
        await self._send(reply, send, upload)

    async def _run_long(self, call: Callable[[], T]) -> asyncio.Future[T] | None:
        """Run `call` in a thread of its own; None when none becomes free in time."""
        try:
            async with asyncio.timeout(LONG_THREAD_TIMEOUT_S):
                await self._free_long_threads.acquire()
        except TimeoutError:
            return None
        try:
            future = run_in_own_thread(call)
        except RuntimeError:  # The system gives no more threads.
            self._free_long_threads.release()
            return None
        future.add_done_callback(lambda _: self._free_long_threads.release())
        return future

    async def _reply_short(self, call: Callable[[], Reply]) -> Reply:
        return await self._answer_of(self._short.run(call))

    async def _reply_long(self, call: Callable[[], Reply]) -> Reply:
        future = await self._run_long(call)
        return await self._answer_of(future) if future else BUSY

    async def _reply_later(self, later: Later, environ: "WSGIEnvironment", upload: Upload) -> Reply:
        call = AppCall(lambda *arguments: later.respond()(*arguments), environ).reply
        if later.until is None:
            return await self._reply_long(call)
        ends = upload.wait_for_disconnect(), _wait_for(self._stopping)
        await _run_until_first(later.wait(), *ends)
        return await self._reply_short(call)

    async def _send(self, reply: Reply, send: Send, upload: Upload) -> None:
        match reply.body:
            case bytes(data):
                await send(_start_of(reply))
                await send({"type": "http.response.body", "body": data})
            case LiveStream() as stream:
                await self._send_chunks(reply, stream.open(), send, upload)
            case Steps() as steps:
                await self._send_steps(reply, steps, send, upload)

    async def _send_steps(self, reply: Reply, steps: Steps, send: Send, upload: Upload) -> None:
        outbox = Outbox()
        filling = await self._run_long(partial(outbox.fill, steps))
        if filling is None:
            await run_in_own_thread(steps.close)
            return await self._send(BUSY, send, upload)
        try:
            await self._send_chunks(reply, outbox.chunks(filling), send, upload)
        finally:
            outbox.close()

    async def _send_chunks(
        self, reply: Reply, chunks: AsyncGenerator[bytes, None], send: Send, upload: Upload
    ) -> None:
        """Send chunks until they end, the client goes, or the server stops a live stream.

        An error in the middle leaves this method, and the server cuts the connection: the client
        must not take half an answer for a whole one. A client that takes nothing is such an error.
        """
        await send(_start_of(reply))
        ends = [upload.wait_for_disconnect()]
        if reply.is_endless:
            ends.append(_wait_for(self._stopping))
        sending = _send_all(chunks, send, self._patience.reader_s)
        await _run_until_first(sending, *ends)
        await send({"type": "http.response.body", "body": b""})


def _start_of(reply: Reply) -> Message:
    return {"type": "http.response.start", "status": reply.status, "headers": reply.headers}


async def _send_all(chunks: AsyncGenerator[bytes, None], send: Send, patience_s: float) -> None:
    async with aclosing(chunks):
        async for chunk in chunks:
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            try:
                async with asyncio.timeout(patience_s):
                    await send(message)
            except TimeoutError:
                raise StalledReaderError from None


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()


async def _run_until_first(work: Step, *ends: Step) -> None:
    """Run `work` until it or one of the `ends` is over, cancel the rest; pass its error on."""
    task = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, *others):
            each.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)
