"""Cancelling a run for good: forbid its start in Redis, then tell the workers."""

from collections.abc import Mapping
from uuid import UUID

from celeriac.errors import (
    BrokerUnavailableError,
    RunFinishedError,
    RunNotFoundError,
    RunUnheardOfError,
    WorkerUntoldError,
)
from celeriac.runs.broker import Broker
from celeriac.runs.history import RunHistory
from celeriac.runs.run import Run
from celeriac.runs.store import Cancelled, RunStore

UUID_OF_OURS = 7


class Canceller:
    """Cancels runs, whether or not a worker is there to hear of it."""

    def __init__(self, broker: Broker, store: RunStore, history: RunHistory) -> None:
        self._broker = broker
        self._store = store
        self._history = history

    def cancel(self, run_id: str, *, foreign: bool = False) -> Run:
        """Revoke a run that waits, and end one that executes.

        `foreign` says that another client has submitted it, so that it may be unknown until it
        starts.

        Raises:
            RunNotFoundError: there is no trace of it, and it is not said, or cannot be, foreign.
            RunFinishedError, ResultsUnavailableError: nothing was changed.
            WorkerUntoldError: it is cancelled and still executes.
        """
        self._check(run_id, foreign=foreign)
        found = self._store.cancel([run_id])[run_id]
        if found is Cancelled.FINISHED:
            raise _finished(self._store.get(run_id))
        self.tell({run_id: found})
        return self._store.get(run_id)

    def tell(self, found: Mapping[str, Cancelled]) -> None:
        """Tell the workers of runs whose cancel is noted in Redis.

        Raises:
            WorkerUntoldError: they are cancelled, and some of them still execute.
        """
        run_ids = [run_id for run_id, what in found.items() if what is not Cancelled.FINISHED]
        try:
            if run_ids:
                self._broker.revoke(run_ids)
        except BrokerUnavailableError as error:
            # A run that waits is revoked all the same: no worker starts it.
            for run_id in run_ids:
                if found[run_id] is Cancelled.EXECUTING:
                    raise WorkerUntoldError(run_id) from error

    def _check(self, run_id: str, *, foreign: bool) -> None:
        """Refuse a run that only the history knows to have ended, and what can be no run at all."""
        if self._store.knows(run_id):
            return
        recorded = self._history.get_or_none(run_id)
        if recorded is not None and recorded.state.finished:
            raise _finished(recorded)
        if recorded is None and not _may_be_foreign(run_id):
            raise RunNotFoundError(run_id)
        if recorded is None and not foreign:
            raise RunUnheardOfError(run_id)


def _finished(run: Run) -> RunFinishedError:
    return RunFinishedError(f"Run {run.id} has ended already ({run.state}).")


def _may_be_foreign(run_id: str) -> bool:
    """Tell whether some other Celery client may have made the identifier.

    Nobody hears of its runs before they start. Celery's are UUIDs of version 4; ours, of version 7,
    are written down before they are published.
    """
    try:
        return UUID(run_id).version != UUID_OF_OURS
    except ValueError:
        return False
