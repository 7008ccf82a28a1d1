"""Telling an open list that something in it may have changed, a word a second or so at most.

The events themselves stay here: at a thousand a second they would keep each browser busy with what
a list of fifty rows shows of them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial

from flask import Response, request

from celeriac.errors import TransientError
from celeriac.events import Event
from celeriac.runs import Run, RunFilter, Runs, RunState, run_filter
from celeriac.web.context import runs
from celeriac.web.gateway import live_response
from celeriac.web.run_list.address import Query
from celeriac.web.run_list.blueprint import run_list

SETTLE_S = 0.3
"""What the recorder may need to have an event in the history."""
BETWEEN_S = 1.5
LATE_S = 4.0
"""After the last event of a burst one more word, for a recorder that was behind."""
HEARTBEAT_S = 5.0
"""A page that hears nothing for much longer says so."""
CHANGED = b"event: changed\ndata: 1\n\n"
HEARTBEAT = b"event: here\ndata: 1\n\n"


@run_list.get("/runs/changes")
def changes() -> Response:
    """Stream a word whenever the list that the query asks for may have changed."""
    wanted = run_filter(Query.of(request.args).lists())
    return live_response(partial(words_of_change, runs(), wanted))


async def words_of_change(source: Runs, wanted: RunFilter) -> AsyncGenerator[bytes, None]:
    """Give a word after a change, and one more when it has become quiet."""
    heard = Heard(wanted)
    listening = asyncio.create_task(heard.listen(source))
    try:
        yield b"retry: 2000\n\n"
        while not listening.done():
            if await heard.has_something(listening):
                await asyncio.sleep(SETTLE_S)
                heard.forget()
                yield CHANGED
                await asyncio.sleep(BETWEEN_S - SETTLE_S)
            else:
                yield HEARTBEAT
        listening.result()
    except TransientError:
        yield b"event: unavailable\ndata: 1\n\n"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


class Heard:
    """What was heard and not told yet; hearing never waits for the telling."""

    def __init__(self, wanted: RunFilter) -> None:
        self._wanted = wanted
        self._changed = asyncio.Event()
        self._late_s: float | None = None

    async def listen(self, source: Runs) -> None:
        """Listen until the stream of events ends.

        Raises:
            ResultsUnavailableError: Redis did not answer.
        """
        async with aclosing(source.listen()) as happenings:
            async for events in happenings:
                if not isinstance(events, Run) and self._concerns(events):
                    self._late_s = time.monotonic() + LATE_S
                    self._changed.set()

    async def has_something(self, listening: "asyncio.Task[None]") -> bool:
        """Wait for a change, the end of the listening, or the time for a sign of life."""
        now_s = time.monotonic()
        patience_s = HEARTBEAT_S if self._late_s is None else max(0.0, self._late_s - now_s)
        waiting = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait(
                (waiting, listening),
                timeout=min(patience_s, HEARTBEAT_S),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waiting.cancel()
        return self._changed.is_set() or self._is_late()

    def forget(self) -> None:
        """Begin anew: all that was heard so far is being told."""
        if not self._changed.is_set():
            self._late_s = None
        self._changed.clear()

    def _is_late(self) -> bool:
        return self._late_s is not None and time.monotonic() >= self._late_s

    def _concerns(self, events: Iterable[Event]) -> bool:
        return any(_may_concern(event, self._wanted) for event in events)


def _may_concern(event: Event, wanted: RunFilter) -> bool:
    """Tell whether a list with this filter may show the run; what is unknown may be anything."""
    if event.kind == "log" or (event.kind == "progress" and not _shows_progress(wanted)):
        return False
    task, queue = event.data.get("task"), event.data.get("queue")
    return (not wanted.tasks or task is None or task in wanted.tasks) and (
        wanted.queue is None or queue is None or queue == wanted.queue
    )


def _shows_progress(wanted: RunFilter) -> bool:
    """Tell whether runs that execute may be in the list: no others make progress."""
    return not wanted.states or RunState.STARTED in wanted.states
