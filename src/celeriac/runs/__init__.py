"""Runs: submit one, look at it, wait for it, cancel it. Web and CLI ask here for everything."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import JsonValue
from uuid_utils import uuid7

from celeriac.app import create_app
from celeriac.catalog import Catalog
from celeriac.errors import (
    BrokerUnavailableError,
    HistoryUnavailableError,
    ResultsUnavailableError,
    RunFinishedError,
    RunNotFoundError,
)
from celeriac.events import Event
from celeriac.history import History, Names, RunFilter, RunRow
from celeriac.runs.broker import Broker
from celeriac.runs.live import LiveEvents
from celeriac.runs.options import SubmitOptions
from celeriac.runs.query import run_filter
from celeriac.runs.run import Progress, Run, RunError, RunList, RunState, run_of
from celeriac.runs.store import CeleryResults, RunStore
from celeriac.settings import Settings

__all__ = [
    "Names",
    "Progress",
    "Run",
    "RunError",
    "RunFilter",
    "RunList",
    "RunState",
    "Runs",
    "SubmitOptions",
    "run_filter",
]


class Runs:
    """All that can be done with runs, by the parts that know how."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        broker: Broker,
        store: RunStore,
        live: LiveEvents,
        history: History,
    ) -> None:
        self.catalog = catalog
        self._settings = settings
        self._broker = broker
        self._store = store
        self._live = live
        self._history = history

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build everything from the settings; connects to nothing yet.

        Raises:
            ConfigurationError: an address is missing, or a module of tasks cannot be imported.
        """
        app = create_app(settings, publisher=True)
        catalog = Catalog.of(app)
        _, redis_url = settings.require_urls()
        broker = Broker(app, settings.extra_queues)
        results = CeleryResults(app.backend.get_key_for_task, app.backend.decode)
        store = RunStore(redis_url, results)
        history = History(settings.history_address)
        return cls(settings, catalog, broker, store, LiveEvents(redis_url), history)

    def submit(self, task_name: str, args: Mapping[str, JsonValue], options: SubmitOptions) -> Run:
        """Submit a run; when this returns, the broker has its message.

        Raises:
            UnknownTaskError: no such task.
            InvalidInputError: arguments or options do not fit.
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        spec = self.catalog.get(task_name)
        call = spec.call(args)
        self._broker.check_queue(
            options.queue, {task.queue for task in self.catalog.tasks if task.queue}
        )
        now = datetime.now(UTC)
        eta = options.eta_at(now, timedelta(seconds=self._settings.max_countdown_s))
        expires = options.expires_at(now)
        run = Run(
            id=str(uuid7()),
            task=task_name,
            state=RunState.SCHEDULED if eta else RunState.PENDING,
            args=dict(args),
            queue=options.queue or spec.queue,
            priority=options.priority,
            submitted_at=now,
            eta=eta,
        )
        self._store.add(run)
        try:
            self._broker.publish(run.id, spec, call, options, eta=eta, expires=expires)
        except BaseException:
            with suppress(ResultsUnavailableError):
                self._store.remove(run.id)
            raise
        with suppress(ResultsUnavailableError):
            # The broker has the message; if nobody can be told now, the worker's events tell it.
            self._store.tell_submitted(run)
        return run

    def get(self, run_id: str) -> Run:
        """Read a run as it is now, or as the history has it once Redis has forgotten it.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        try:
            return self._store.get(run_id)
        except RunNotFoundError:
            row = self._recorded(run_id)
            if row is None:
                raise
            return run_of(row)

    def _recorded(self, run_id: str) -> RunRow | None:
        try:
            return self._history.get(run_id)
        except HistoryUnavailableError:
            return None  # Redis has spoken, and it is what knows the runs of today.

    def find(self, wanted: RunFilter, cursor: str | None = None, limit: int = 50) -> RunList:
        """Give a page of the history, newest first.

        Raises:
            InvalidInputError: the cursor is none.
            HistoryUnavailableError: the history cannot be read for now.
        """
        page = self._history.find(wanted, cursor, limit)
        return RunList(runs=[run_of(row) for row in page.runs], next_cursor=page.next_cursor)

    def export(self, wanted: RunFilter) -> Iterator[str]:
        """Give runs as NDJSON lines, newest first, in constant memory.

        Raises:
            HistoryUnavailableError: the history cannot be read for now.
        """
        return self._history.export(wanted)

    def prune(self, days: int) -> Iterator[int]:
        """Remove the runs that are older, batch by batch; gives how many are gone so far.

        Raises:
            HistoryUnavailableError: the history cannot be written for now.
        """
        older_than = datetime.now(UTC) - timedelta(days=days)
        return (progress.removed for progress in self._history.prune(older_than=older_than))

    def names(self) -> Names:
        """Give the tasks, queues, workers and tags that the history knows.

        Raises:
            HistoryUnavailableError: the history cannot be read for now.
        """
        return self._history.names()

    def watch(self, run_id: str) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        return self._store.watch(run_id)

    async def listen(
        self, run_id: str | None = None, after: str | None = None
    ) -> AsyncGenerator[Run | list[Event], None]:
        """Give what happens to a run until it ends, or to all runs; [] is a sign of life.

        One run comes first as it is now, unless the caller knows it up to the event `after`.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        async with aclosing(self._live.listen(run_id, after)) as happenings:
            if run_id is not None and after is None:
                await anext(happenings)
                run = await asyncio.to_thread(self.get, run_id)
                yield run
                if run.state.finished:
                    return
            async for events in happenings:
                yield events
                if run_id is not None and any(event.kind.finishes for event in events):
                    return

    def has_events_after(self, run_id: str, event_id: str) -> bool:
        """Tell whether the stream still holds a later event of this run.

        Raises:
            ResultsUnavailableError
        """
        return self._store.has_events_after(run_id, event_id)

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
        views = self._store.watch(run_id, until_s=time.monotonic() + timeout_s)
        return [run for run in views if run is not None][-1]

    def cancel(self, run_id: str) -> Run:
        """Drop a run that waits, or end one that executes.

        Raises:
            RunNotFoundError, RunFinishedError, ResultsUnavailableError, BrokerUnavailableError
        """
        run = self.get(run_id)
        if run.state.finished:
            raise RunFinishedError(f"Run {run_id} has ended already ({run.state}).")
        self._broker.revoke(run_id)
        return run

    def check(self) -> dict[str, str | None]:
        """Try each dependency; gives its problem by name, or None where it answers."""
        problems: dict[str, str | None] = {}
        for name, ping in (("broker", self._broker.ping), ("redis", self._store.ping)):
            try:
                ping()
            except (BrokerUnavailableError, ResultsUnavailableError):
                problems[name] = "unreachable"
            else:
                problems[name] = None
        return problems

    def workers(self) -> list[str]:
        """Ask the workers for a sign of life; gives the names of those that answer.

        Raises:
            BrokerUnavailableError: nobody could be asked.
        """
        return self._broker.workers()
