"""Following one run: how it is, what it has logged, then what happens, until it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from celeriac.events import Event, EventKind
from celeriac.history import number_of
from celeriac.runs.log import LogLine, RunLog
from celeriac.runs.run import Run

News = Run | LogLine | Event
Listen = Callable[[str], AsyncGenerator[Run | list[Event], None]]


async def follow(
    listen: Listen, log: RunLog, run_id: str, after: str | None
) -> AsyncGenerator[list[News], None]:
    """Give the run, its lines from behind `after`, and what happens; [] is a sign of life.

    Ends with the run, or before it when the caller does not keep up: come back with the last line.
    """
    async with aclosing(listen(run_id)) as happenings:
        async for happened in happenings:
            if isinstance(happened, Run):
                yield [happened]
                async with aclosing(_logged(log, happened, after)) as pages:
                    async for lines in pages:
                        after = lines[-1].id
                        yield [*lines]
            else:
                yield _news(happened, after)


async def _logged(log: RunLog, run: Run, after: str | None) -> AsyncGenerator[list[LogLine], None]:
    """Read what was logged before; what is logged meanwhile comes as events."""
    while True:
        page = await asyncio.to_thread(log.page_at_hand, run, after)
        if page.lines:
            yield page.lines
        if page.next in (None, after):
            return
        after = page.next


def _news(events: list[Event], after: str | None) -> list[News]:
    """Give lines as lines, those left out that were read already."""
    known = number_of(after) if after else None
    news: list[News] = []
    for event in events:
        if event.kind is not EventKind.LOG:
            news.append(event)
        elif known is None or (number_of(event.id or "") or 0) > known:
            news.append(LogLine.of_event(event))
    return news
