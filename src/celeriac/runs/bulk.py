"""Many runs at once: cancel, or submit again, all that a filter finds.

The history is walked from its newest run to its oldest, a batch of identifiers at a time, as it
was when the walk began: what is submitted meanwhile is not met. The history is some milliseconds
behind, so each run is looked at again before it is touched. Nothing here remembers how far a walk
came: what was done shows in the runs themselves, so asking again goes on where the last one ended.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from celeriac.errors import (
    CeleriacError,
    FaultError,
    FieldProblem,
    InvalidInputError,
    KeyInProgressError,
    TransientError,
)
from celeriac.history import History, RunCount, RunFilter
from celeriac.runs.bulk_progress import BulkProgress, Outcome, Tally
from celeriac.runs.cancelling import Canceller
from celeriac.runs.once import Once
from celeriac.runs.pace import Pace
from celeriac.runs.run import Run, RunState
from celeriac.runs.store import Cancelled, RunStore

MOST_COUNTED = 100_000
BATCH = 200
ONCE_FOR_S = 3600
"""How long Redis tells that a run was submitted again; the history knows it much sooner."""
UNFINISHED = tuple(state.value for state in RunState if not state.finished)
FINISHED = tuple(state.value for state in RunState if state.finished)
FAILED = (RunState.FAILURE.value, RunState.REVOKED.value)
"""What is submitted again unless the filter names states: nobody repeats a success by accident."""

GO_ON = "Ask again to go on from there."
BEGIN_ANEW = "Leave `again` out to go on: what was submitted again just now is skipped then."
Batch = Callable[[list[str], Tally], Iterator[None]]

log = logging.getLogger(__name__)


class Bulk:
    """Acts on all runs that a filter finds."""

    def __init__(
        self,
        history: History,
        store: RunStore,
        canceller: Canceller,
        once: Once,
        resubmit: Callable[[str], Run],
    ) -> None:
        self._history = history
        self._store = store
        self._canceller = canceller
        self._once = once
        self._resubmit = resubmit

    def count_to_cancel(self, wanted: RunFilter, *, every: bool = False) -> RunCount:
        """Count the runs that `cancel` would go through, up to 100,000.

        Raises:
            InvalidInputError: the filter is empty, and `every` does not say that this is meant.
            HistoryUnavailableError
        """
        check_meant(wanted, every=every)
        return self._count(to_cancel(wanted))

    def count_to_resubmit(self, wanted: RunFilter, *, every: bool = False) -> RunCount:
        """Count the runs that `resubmit` would go through, up to 100,000.

        Raises:
            InvalidInputError: the filter is empty, and `every` does not say that this is meant.
            HistoryUnavailableError
        """
        check_meant(wanted, every=every)
        return self._count(to_resubmit(wanted))

    def cancel(self, wanted: RunFilter, *, every: bool = False) -> Generator[BulkProgress]:
        """Cancel those of the runs that have not ended; gives how far it is now and then.

        When something goes away on the way, the last progress says so and how far it came.

        Raises:
            InvalidInputError: the filter is empty, and `every` does not say that this is meant.
            HistoryUnavailableError: nothing was cancelled.
        """
        check_meant(wanted, every=every)
        return self._act(to_cancel(wanted), self._cancelled, GO_ON)

    def resubmit(
        self,
        wanted: RunFilter,
        *,
        every: bool = False,
        rate: float | None = None,
        again: bool = False,
    ) -> Generator[BulkProgress]:
        """Submit those of the runs again that have ended, at most `rate` a second.

        Without named states, those that failed or were revoked. Runs that have been submitted again
        before are skipped unless `again`, so that repeating this doubles nothing.

        Raises:
            InvalidInputError: the filter is empty, and `every` does not say that this is meant.
            HistoryUnavailableError: nothing was submitted.
        """
        check_meant(wanted, every=every)
        pace = Pace(rate)

        def batch(run_ids: list[str], tally: Tally) -> Iterator[None]:
            return self._resubmitted(run_ids, tally, pace, again=again)

        return self._act(to_resubmit(wanted), batch, BEGIN_ANEW if again else GO_ON)

    def _count(self, wanted: RunFilter | None) -> RunCount:
        return self._history.count(wanted, MOST_COUNTED) if wanted else RunCount(0, False)

    def _act(self, wanted: RunFilter | None, act: Batch, advice: str) -> Generator[BulkProgress]:
        tally = Tally(self._count(wanted))
        yield tally.progress()
        try:
            for run_ids in self._history.ids(wanted, BATCH) if wanted else ():
                for _ in act(run_ids, tally):
                    if tally.is_due():
                        yield tally.progress()
        except TransientError as error:
            yield tally.progress(stopped=f"{error} {tally.words()} {advice}")
        else:
            yield tally.progress(finished=True)

    def _cancelled(self, run_ids: list[str], tally: Tally) -> Iterator[None]:
        """Cancel a batch in one round trip; what waits is gone though no worker hears of it."""
        found = self._store.cancel(run_ids)
        count = Counter(found.values())
        tally.skipped += count[Cancelled.FINISHED]
        tally.done += count[Cancelled.WAITING]
        self._canceller.tell(found)
        tally.done += count[Cancelled.EXECUTING]
        yield

    def _resubmitted(
        self, run_ids: list[str], tally: Tally, pace: Pace, *, again: bool
    ) -> Iterator[None]:
        before = set() if again else self._history.resubmitted(run_ids)
        left = [run_id for run_id in run_ids if run_id not in before]
        tally.skipped += len(run_ids) - len(left)
        with ThreadPoolExecutor(pace.at_once) as threads:
            for start in range(0, len(left), pace.at_once):
                yield from pace.wait()
                some = left[start : start + pace.at_once]
                outcomes = [*threads.map(partial(self._outcome, again=again), some)]
                if True in outcomes:
                    pace.spend()
                tally.add(some, outcomes)
                yield

    def _outcome(self, run_id: str, *, again: bool) -> Outcome:
        try:
            return self._is_made_anew(run_id, again=again)
        except CeleriacError as error:
            return error
        except Exception:
            # One run that something of a user's stumbles over must not end the walk.
            log.exception("Run %s was not submitted again.", run_id)
            return FaultError()

    def _is_made_anew(self, run_id: str, *, again: bool) -> bool:
        """Submit a run again unless somebody is at it, or was a moment before the history knew."""
        if again:
            self._resubmit(run_id)
            return True
        try:
            return not self._once.resubmit(run_id, run_id, None, None).is_replay
        except KeyInProgressError:
            return False


def check_meant(wanted: RunFilter, *, every: bool) -> None:
    """Refuse a filter that is empty by accident, whatever it was written as."""
    if wanted == RunFilter() and not every:
        detail = 'This would mean every run. Name some, or send "all": true.'
        raise InvalidInputError([FieldProblem("/filter", detail)])


def to_cancel(wanted: RunFilter) -> RunFilter | None:
    """Give those of the runs that have not ended and exist now, or None where none can be meant."""
    return _narrowed(wanted, wanted.states or UNFINISHED, UNFINISHED)


def to_resubmit(wanted: RunFilter) -> RunFilter | None:
    """Give those of the runs that have ended and exist now, or None where none can be meant."""
    return _narrowed(wanted, wanted.states or FAILED, FINISHED)


def _narrowed(
    wanted: RunFilter, states: tuple[str, ...], allowed: tuple[str, ...]
) -> RunFilter | None:
    now = datetime.now(UTC)
    meant = tuple(state for state in states if state in allowed)
    return replace(wanted, states=meant, until=min(wanted.until or now, now)) if meant else None
