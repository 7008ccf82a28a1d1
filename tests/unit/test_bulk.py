"""Bulk actions: what they go through, how they report, and where they stop."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    InvalidInputError,
    KeyInProgressError,
    ResultsUnavailableError,
    RunNotFoundError,
    WorkerUntoldError,
)
from celeriac.history import History, RunCount, RunFilter
from celeriac.runs.bulk import Bulk, to_cancel, to_resubmit
from celeriac.runs.bulk_progress import BulkProblem, BulkProgress
from celeriac.runs.cancelling import Canceller
from celeriac.runs.idempotency import Outcome
from celeriac.runs.once import Once
from celeriac.runs.run import Run, RunState
from celeriac.runs.store import Cancelled, RunStore


class FakeHistory:
    """Runs by identifier alone, in batches of three."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        self.run_ids = list(run_ids)
        self.again: set[str] = set()
        self.capped = False

    def count(self, wanted: RunFilter, cap: int) -> RunCount:
        return RunCount(len(self.run_ids), self.capped)

    def ids(self, wanted: RunFilter, batch: int) -> Iterator[list[str]]:
        for start in range(0, len(self.run_ids), 3):
            yield self.run_ids[start : start + 3]

    def resubmitted(self, run_ids: Sequence[str]) -> set[str]:
        return self.again & set(run_ids)


class FakeStore:
    """Finds that runs wait unless a test says otherwise; can fail after the first batch."""

    def __init__(self) -> None:
        self.found: dict[str, Cancelled] = {}
        self.cancelled: list[str] = []
        self.problem: CeleriacError | None = None

    def cancel(self, run_ids: Sequence[str]) -> dict[str, Cancelled]:
        if self.problem and len(self.cancelled) >= 3:
            raise self.problem
        self.cancelled += run_ids
        return {run_id: self.found.get(run_id, Cancelled.WAITING) for run_id in run_ids}


class FakeCanceller:
    """Remembers of which runs the workers were told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.problem: CeleriacError | None = None

    def tell(self, found: Mapping[str, Cancelled]) -> None:
        if self.problem:
            raise self.problem
        self.told += [run_id for run_id, what in found.items() if what is not Cancelled.FINISHED]


class FakeOnce:
    """Acts once for each key."""

    def __init__(self, act: "Acted") -> None:
        self.keys: set[str] = set()
        self._act = act

    def resubmit(self, key: str, run_id: str, args: None, options: None) -> Outcome:
        is_replay = key in self.keys
        if not is_replay:
            self._act(run_id)
        self.keys.add(key)
        return Outcome(Run(id=run_id, state=RunState.PENDING), is_replay)


class Acted:
    """Remembers on which runs it was called, and fails on some as a test says."""

    def __init__(self) -> None:
        self.on: list[str] = []
        self.errors: dict[str, Exception] = {}

    def __call__(self, run_id: str) -> Any:
        if run_id in self.errors:
            raise self.errors[run_id]
        self.on.append(run_id)


@pytest.fixture
def history() -> FakeHistory:
    return FakeHistory([f"run-{number}" for number in range(8)])


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def act() -> Acted:
    return Acted()


@pytest.fixture
def canceller() -> FakeCanceller:
    return FakeCanceller()


@pytest.fixture
def bulk(history: FakeHistory, store: FakeStore, canceller: FakeCanceller, act: Acted) -> Bulk:
    return Bulk(
        cast(History, history),
        cast(RunStore, store),
        cast(Canceller, canceller),
        cast(Once, FakeOnce(act)),
        act,
    )


def _cancel(bulk: Bulk) -> BulkProgress:
    return list(bulk.cancel(RunFilter(), every=True))[-1]


def _resubmit(bulk: Bulk) -> BulkProgress:
    return list(bulk.resubmit(RunFilter(), every=True))[-1]


def _counts(progress: BulkProgress) -> tuple[int, int, int]:
    return progress.done, progress.skipped, progress.failed


@pytest.mark.parametrize(
    ("states", "cancelled", "resubmitted"),
    [
        ((), ("PENDING", "SCHEDULED", "STARTED", "RETRY"), ("FAILURE", "REVOKED")),
        (("SUCCESS",), None, ("SUCCESS",)),
        (("PENDING", "FAILURE"), ("PENDING",), ("FAILURE",)),
        (("STARTED",), ("STARTED",), None),
    ],
)
def test_action_means_only_the_states_it_can_change(
    states: tuple[str, ...], cancelled: Any, resubmitted: Any
) -> None:
    wanted = RunFilter(states=states, queue="q")
    to_be_cancelled, to_be_resubmitted = to_cancel(wanted), to_resubmit(wanted)

    assert (to_be_cancelled and to_be_cancelled.states) == cancelled
    assert (to_be_resubmitted and to_be_resubmitted.states) == resubmitted


def test_action_means_the_runs_that_exist_when_it_begins() -> None:
    before = datetime.now(UTC)
    past, future = before - timedelta(hours=1), before + timedelta(hours=1)

    now = to_cancel(RunFilter())
    ends_before = to_cancel(RunFilter(until=past))
    ends_later = to_cancel(RunFilter(until=future))

    assert now and now.until and before <= now.until <= datetime.now(UTC)
    assert ends_before and ends_before.until == past
    assert ends_later and ends_later.until and ends_later.until < future


def test_resubmit_goes_through_all_runs_and_says_that_it_has_finished(
    bulk: Bulk, history: FakeHistory, act: Acted
) -> None:
    last = _resubmit(bulk)

    assert sorted(act.on) == history.run_ids
    assert last == BulkProgress(matched=8, capped=False, done=8, finished=True)


def test_cancel_goes_through_all_runs_and_tells_the_workers(
    bulk: Bulk, history: FakeHistory, store: FakeStore, canceller: FakeCanceller
) -> None:
    store.found = {"run-1": Cancelled.EXECUTING, "run-3": Cancelled.FINISHED}

    last = _cancel(bulk)

    assert store.cancelled == history.run_ids
    assert canceller.told == [each for each in history.run_ids if each != "run-3"]
    assert last == BulkProgress(matched=8, capped=False, done=7, skipped=1, finished=True)


def test_filter_that_no_run_can_meet_touches_nothing(bulk: Bulk, act: Acted) -> None:
    progress = list(bulk.cancel(RunFilter(states=("SUCCESS",))))

    assert progress[-1] == BulkProgress(matched=0, capped=False, finished=True)
    assert bulk.count_to_cancel(RunFilter(states=("SUCCESS",))) == RunCount(0, False)
    assert act.on == []


def test_run_that_is_wrong_stops_nothing_and_is_named(bulk: Bulk, act: Acted) -> None:
    act.errors["run-0"] = InvalidInputError([])
    act.errors["run-4"] = RunNotFoundError("run-4")

    last = _resubmit(bulk)

    assert _counts(last) == (6, 0, 2)
    assert last.finished
    assert [problem.run for problem in last.problems] == ["run-0", "run-4"]
    assert last.problems[1] == BulkProblem(run="run-4", detail=str(RunNotFoundError("run-4")))


def test_only_the_first_problems_are_told(history: FakeHistory, act: Acted, bulk: Bulk) -> None:
    history.run_ids = [f"run-{number}" for number in range(30)]
    act.errors = {run_id: RunNotFoundError(run_id) for run_id in history.run_ids}

    last = _resubmit(bulk)

    assert (last.failed, len(last.problems)) == (30, 10)


@pytest.mark.parametrize(
    "error", [BrokerUnavailableError("It is away."), ResultsUnavailableError("It is away.")]
)
def test_resubmit_stops_where_a_server_goes_away_and_goes_on_when_asked_again(
    bulk: Bulk, history: FakeHistory, act: Acted, error: CeleriacError
) -> None:
    act.errors["run-5"] = error

    stopped = _resubmit(bulk)
    history.again = set(act.on)
    act.errors.clear()
    last = _resubmit(bulk)

    assert not stopped.finished and stopped.stopped
    assert stopped.stopped.startswith("It is away. Before that it went through 5 of 8 runs.")
    assert (_counts(last), last.finished) == ((3, 5, 0), True)
    assert sorted(act.on) == history.run_ids


def test_cancel_stops_where_redis_goes_away(bulk: Bulk, store: FakeStore) -> None:
    store.problem = ResultsUnavailableError("It is away.")

    last = _cancel(bulk)

    assert (last.done, last.finished, bool(last.stopped)) == (3, False, True)


def test_cancel_counts_what_waits_though_the_broker_is_away(
    bulk: Bulk, store: FakeStore, canceller: FakeCanceller
) -> None:
    store.found = {"run-1": Cancelled.EXECUTING}
    canceller.problem = WorkerUntoldError("run-1")

    last = _cancel(bulk)

    assert (last.done, last.finished) == (2, False)
    assert last.stopped and "run-1" in last.stopped


def test_history_that_is_away_at_once_is_an_error(bulk: Bulk, history: FakeHistory) -> None:
    def away(wanted: RunFilter, cap: int) -> RunCount:
        raise ResultsUnavailableError("away")

    history.count = away  # type: ignore[method-assign]

    with pytest.raises(ResultsUnavailableError):
        next(bulk.cancel(RunFilter(), every=True))


def test_runs_that_were_submitted_again_before_are_skipped(
    bulk: Bulk, history: FakeHistory, act: Acted
) -> None:
    history.again = {"run-1", "run-2"}

    last = list(bulk.resubmit(RunFilter(), every=True))[-1]

    assert _counts(last) == (6, 2, 0)
    assert not {"run-1", "run-2"} & set(act.on)


def test_repeating_at_once_doubles_nothing_though_the_history_is_behind(
    bulk: Bulk, act: Acted
) -> None:
    list(bulk.resubmit(RunFilter(), every=True))

    last = list(bulk.resubmit(RunFilter(), every=True))[-1]

    assert _counts(last) == (0, 8, 0)
    assert len(act.on) == 8


def test_again_submits_also_what_was_submitted_again(
    bulk: Bulk, history: FakeHistory, act: Acted
) -> None:
    history.again = {"run-1"}
    list(bulk.resubmit(RunFilter(), every=True))

    last = list(bulk.resubmit(RunFilter(), every=True, again=True))[-1]

    assert _counts(last) == (8, 0, 0)


def test_run_that_somebody_else_is_resubmitting_is_skipped(bulk: Bulk, act: Acted) -> None:
    act.errors["run-2"] = KeyInProgressError()

    last = _resubmit(bulk)

    assert (_counts(last), last.finished) == ((7, 1, 0), True)


def test_rate_bounds_the_runs_a_second_and_reports_meanwhile(bulk: Bulk) -> None:
    started_s = time.monotonic()

    progress = list(bulk.resubmit(RunFilter(), every=True, rate=8))

    assert time.monotonic() - started_s >= 0.8
    assert len(progress) >= 4
    assert progress[-1].done == 8


def test_count_that_was_capped_is_told_until_the_end(bulk: Bulk, history: FakeHistory) -> None:
    history.capped = True

    first, *_, last = bulk.cancel(RunFilter(), every=True)

    assert (first.capped, last.capped) == (True, False)


def test_every_run_is_never_meant_by_accident(bulk: Bulk, store: FakeStore, act: Acted) -> None:
    for asked in (bulk.cancel, bulk.resubmit, bulk.count_to_cancel, bulk.count_to_resubmit):
        with pytest.raises(InvalidInputError):
            asked(RunFilter())

    assert (store.cancelled, act.on) == ([], [])


def test_whoever_stops_again_half_way_is_not_told_that_it_goes_on(bulk: Bulk, act: Acted) -> None:
    act.errors["run-1"] = BrokerUnavailableError("Away.")

    (*_, last) = bulk.resubmit(RunFilter(), every=True, again=True)

    assert last.stopped and last.stopped.endswith(
        "Leave `again` out to go on: what was submitted again just now is skipped then."
    )


def test_run_that_nobody_foresaw_does_not_end_the_walk(bulk: Bulk, act: Acted) -> None:
    act.errors["run-1"] = ValueError("a fault of somebody")

    last = _resubmit(bulk)

    assert last.finished and _counts(last) == (7, 0, 1)
