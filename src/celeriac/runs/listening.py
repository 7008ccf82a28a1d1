"""What happens to runs, told while it happens, and waiting for a run's end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress

from celeriac.errors import RunNotFoundError
from celeriac.events import Event, EventKind
from celeriac.runs.live import LiveEvents
from celeriac.runs.run import Run, RunState
from celeriac.runs.store import RunStore


class Listening:
    """Tells of runs: on an event loop to any number of listeners, in a thread to one."""

    def __init__(self, store: RunStore, live: LiveEvents, get: Callable[[str], Run]) -> None:
        self._store = store
        self._live = live
        self._get = get

    async def listen(
        self, run_id: str | None = None, after: str | None = None, *, past_death: bool = False
    ) -> AsyncGenerator[Run | list[Event], None]:
        """Give what happens to a run until it ends, or to all runs; [] is a sign of life.

        `past_death`: a dead letter is no end, since it can be replayed.

        One run comes first as it is now, unless the caller knows it up to the event `after`.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        async with aclosing(self._live.listen(run_id, after)) as happenings:
            await anext(happenings)
            run = await asyncio.to_thread(self._get, run_id) if run_id else None
            has_ended = run is not None and _ends(run.state, past_death)
            if run and after is None:
                yield run
                if has_ended:
                    return
            async for events in happenings:
                yield events
                # Lines that a run has logged may come after its end.
                if run_id and ((has_ended and not events) or _tell_end(events, past_death)):
                    return

    async def ended(self, run_id: str, timeout_s: float) -> None:
        """Return when the run has ended, or when the time is over.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), aclosing(self.listen(run_id)) as happenings:
                async for _ in happenings:
                    pass

    def wait(self, run_id: str, timeout_s: float) -> Run:
        """Wait for the run's end, at most `timeout_s`, and give its newest view.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        views = self.watch(run_id, until_s=time.monotonic() + timeout_s)
        return [run for run in views if run is not None][-1]

    def watch(self, run_id: str, until_s: float = float("inf")) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        A run that Redis has forgotten is given once, as the history has it.

        Raises:
            RunNotFoundError, ResultsUnavailableError, HistoryUnavailableError
        """
        try:
            yield from self._store.watch(run_id, until_s)
        except RunNotFoundError:
            yield self._get(run_id)


def _ends(state: RunState, past_death: bool) -> bool:
    return state.finished and not (past_death and state is RunState.DEAD)


def _tell_end(events: list[Event], past_death: bool) -> bool:
    deaths = {EventKind.DEAD} if past_death else set()
    return any(event.kind.finishes and event.kind not in deaths for event in events)
