"""Runs, all in one place: submit one, look at it, wait for it, cancel it, each by who knows how."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import BinaryIO, Self

from pydantic import JsonValue

from celeriac.app import create_app
from celeriac.catalog import Catalog
from celeriac.errors import BrokerUnavailableError, ResultsUnavailableError, RunNotFoundError
from celeriac.events import Event
from celeriac.history import History
from celeriac.lag import RecorderLag
from celeriac.runs.batch import Batch, LineAnswer
from celeriac.runs.broker import Broker
from celeriac.runs.bulk import ONCE_FOR_S, Bulk
from celeriac.runs.cancelling import Canceller
from celeriac.runs.dead_letters import DeadLetters
from celeriac.runs.details import RunDetails
from celeriac.runs.history import RunHistory
from celeriac.runs.idempotency import RESUBMIT_PREFIX, Keys
from celeriac.runs.lines import Lines
from celeriac.runs.listening import Listening
from celeriac.runs.live import LiveEvents
from celeriac.runs.measures import Measurer
from celeriac.runs.once import Once
from celeriac.runs.options import SubmitOptions
from celeriac.runs.overview import Overview
from celeriac.runs.queues import Queues
from celeriac.runs.run import Run
from celeriac.runs.store import CeleryResults, RunStore
from celeriac.runs.stream import EventStream
from celeriac.runs.submission import Submitter
from celeriac.runs.workers import Workers
from celeriac.settings import Settings


class Runs:
    """All that can be done with runs, by the parts that know how."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        broker: Broker,
        store: RunStore,
        history: History,
        queues: Queues,
        workers: Workers,
        dead_letters: DeadLetters,
    ) -> None:
        redis_url = settings.require_urls()[1]
        self._broker = broker
        self._store = store
        self._stream = EventStream(redis_url)
        self._listening = Listening(store, LiveEvents(redis_url), self.get)
        self.catalog = catalog
        self.queues = queues
        self.workers = workers
        self.dead_letters = dead_letters
        self.history = RunHistory(history)
        self.overview = Overview(
            self.history, queues, workers, self.recorder_lag, dead_letters.total
        )
        self.measures = Measurer(
            self.history, queues, workers, dead_letters.numbers, self.recorder_lag
        )
        self.details = RunDetails(self._stream, self.history, self.get, self.listen)
        self._submitter = Submitter(settings, catalog, broker, store)
        self.once = self._once(Keys(redis_url, settings.idempotency_expires_s))
        self._canceller = Canceller(broker, store, self.history)
        once = self._once(Keys(redis_url, ONCE_FOR_S, RESUBMIT_PREFIX))
        self.bulk = Bulk(history, store, self._canceller, once, self.resubmit)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build everything from the settings; connects to nothing yet.

        Raises:
            ConfigurationError: an address is missing, or a module of tasks cannot be imported.
        """
        app = create_app(settings, publisher=True)
        catalog = Catalog.of(app)
        _, redis_url = settings.require_urls()
        backend = app.backend
        results = CeleryResults(backend.get_key_for_task, backend.decode, backend.cancellation)
        store = RunStore(redis_url, results)
        history = History(settings.history_address)
        workers = Workers(app, redis_url)
        queues = Queues(app, catalog, settings.extra_queues, redis_url, workers, history, store)
        broker = Broker(app, settings.extra_queues)
        letters = DeadLetters(settings, app, catalog, store, RunHistory(history))
        return cls(settings, catalog, broker, store, history, queues, workers, letters)

    def _once(self, keys: Keys) -> Once:
        return Once(self._submitter, keys, self.get)

    def submit(self, task_name: str, args: Mapping[str, JsonValue], options: SubmitOptions) -> Run:
        """Submit a run; when this returns, the broker has its message.

        Raises:
            UnknownTaskError: no such task.
            InvalidInputError: arguments or options do not fit.
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        return self._submitter.submit(task_name, args, options)

    def resubmit(
        self,
        run_id: str,
        args: Mapping[str, JsonValue] | None = None,
        options: SubmitOptions | None = None,
    ) -> Run:
        """Submit a new run of the same task with the same input, or with what is given instead.

        Queue, priority and tags are the old run's too; when it was to start is not.

        Raises:
            RunNotFoundError: no such run.
            UnknownTaskError: its task does not exist any more.
            InvalidInputError: its input is not known in whole, or does not fit (any more).
            BrokerUnavailableError, ResultsUnavailableError: no new run exists now.
        """
        return self._submitter.resubmit(self.get(run_id), args, options)

    def batch(self, file: BinaryIO, limit_bytes: int) -> Iterator[LineAnswer]:
        """Submit each line of a file (NDJSON) up to so many bytes; gives their answers, in order.

        No line stops the others: what is wrong with one is in its answer.
        """
        batch = Batch(self._submitter, self.once, self._broker, self._store)
        return batch.answers(Lines(file, limit_bytes))

    def get(self, run_id: str) -> Run:
        """Read a run as it is now, or as the history has it once Redis has forgotten it.

        Raises:
            RunNotFoundError: there is no trace of it.
            ResultsUnavailableError, HistoryUnavailableError: nobody can tell for now.
        """
        try:
            return self._store.get(run_id)
        except RunNotFoundError:
            recorded = self.history.get(run_id)
            if recorded is None:
                raise
            return recorded

    def watch(self, run_id: str) -> Iterator[Run | None]:
        """Give the run at once and after each change until it ends; None is a sign of life.

        Raises:
            RunNotFoundError, ResultsUnavailableError, HistoryUnavailableError
        """
        return self._listening.watch(run_id)

    def listen(
        self, run_id: str | None = None, after: str | None = None, *, past_death: bool = False
    ) -> AsyncGenerator[Run | list[Event], None]:
        """Give what happens to a run until it ends, or to all runs; [] is a sign of life.

        `past_death`: a dead letter is no end, since it can be replayed.

        One run comes first as it is now, unless the caller knows it up to the event `after`.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        return self._listening.listen(run_id, after, past_death=past_death)

    async def ended(self, run_id: str, timeout_s: float) -> None:
        """Return when the run has ended, or when the time is over.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        await self._listening.ended(run_id, timeout_s)

    def wait(self, run_id: str, timeout_s: float) -> Run:
        """Wait for the run's end, at most `timeout_s`, and give its newest view.

        Raises:
            RunNotFoundError, ResultsUnavailableError
        """
        return self._listening.wait(run_id, timeout_s)

    def may_have_events_after(self, run_id: str, event_id: str) -> bool:
        """Tell whether the stream may hold a later event of this run; False is certain.

        Raises:
            ResultsUnavailableError
        """
        return self._stream.may_have_after(run_id, event_id)

    def cancel(self, run_id: str, *, foreign: bool = False) -> Run:
        """Revoke a run that waits, and end one that executes; whoever delivers it, it won't start.

        `foreign` says that another client has submitted it: it may be unknown until it starts.

        Raises:
            RunNotFoundError: there is no trace of it, and it is not said, or cannot be, foreign.
            RunFinishedError, ResultsUnavailableError: nothing was changed.
            WorkerUntoldError: it is cancelled and still executes.
        """
        return self._canceller.cancel(run_id, foreign=foreign)

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

    def recorder_lag(self) -> RecorderLag:
        """Tell how far the history is behind what happens.

        Raises:
            ResultsUnavailableError
        """
        return self._stream.lag()
