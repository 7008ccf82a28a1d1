"""Runs: submit one, look at it, wait for it, cancel it. Web and CLI ask here for everything."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import JsonValue
from uuid_utils import uuid7

from celeriac.app import create_app
from celeriac.catalog import Catalog
from celeriac.errors import (
    BrokerUnavailableError,
    ResultsUnavailableError,
    RunFinishedError,
)
from celeriac.runs.broker import Broker
from celeriac.runs.options import SubmitOptions
from celeriac.runs.run import Progress, Run, RunError, RunState
from celeriac.runs.store import RunStore
from celeriac.settings import Settings

__all__ = ["Progress", "Run", "RunError", "RunState", "Runs", "SubmitOptions"]


class Runs:
    """All that can be done with runs, by the parts that know how."""

    def __init__(
        self, settings: Settings, catalog: Catalog, broker: Broker, store: RunStore
    ) -> None:
        self.catalog = catalog
        self._settings = settings
        self._broker = broker
        self._store = store

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build everything from the settings; connects to nothing yet.

        Raises:
            ConfigurationError: an address is missing, or a module of tasks cannot be imported.
        """
        app = create_app(settings, publisher=True)
        catalog = Catalog.of(app)
        store = RunStore(settings.require_urls()[1], catalog)
        return cls(settings, catalog, Broker(app, settings.extra_queues), store)

    def submit(self, task_name: str, args: Mapping[str, JsonValue], options: SubmitOptions) -> Run:
        """Submit a run; when this returns, the broker has its message.

        Raises:
            UnknownTaskError: no such task.
            InvalidInputError: arguments or options do not fit.
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        spec = self.catalog.get(task_name)
        call = spec.call(args)
        self._broker.check_queue(options.queue, {task.queue for task in self.catalog.tasks})
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
        wait_s = (eta - now).total_seconds() if eta else 0
        self._store.add(run, keep_s=int(wait_s) + self._settings.result_expires_s)
        try:
            self._broker.publish(run.id, spec, call, options, eta=eta, expires=expires)
        except BrokerUnavailableError:
            with suppress(ResultsUnavailableError):
                self._store.remove(run.id)
            raise
        return run

    def get(self, run_id: str) -> Run:
        """Read a run as it is now.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        return self._store.get(run_id)

    def watch(self, run_id: str) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        return self._store.watch(run_id)

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
