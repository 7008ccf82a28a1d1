"""The record of a run depends on its events, not on the order or number of times they come in."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeriac.events import Event, EventKind
from celeriac.history.merge import merge, merge_all
from celeriac.history.record import Record, attempt_rows, run_row
from celeriac.history.row import RunRow
from celeriac.history.states import RANK

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = START + timedelta(days=1)
RUN_ID = "2f1c2a4e-1111-4222-8333-444455556666"
UUID7 = "019ca9f3-6400-7000-8000-000000000000"
FIELDS = [
    "task",
    "args",
    "queue",
    "tags",
    "eta",
    "attempt",
    "error",
    "current",
    "text",
    "reason",
    "handed_back",
]
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from(["type", "message", "traceback"]), st.none() | st.integers()),
)
ODD_DATA = st.dictionaries(st.sampled_from(FIELDS), ODD_VALUES)
ERROR = {"type": "ValueError", "message": "no 7", "traceback": "Traceback ..."}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(kind: EventKind, seconds: float, run_id: str = RUN_ID, **data: Any) -> Event:
    return Event(run_id, kind, at(seconds), data)


def submitted(seconds: float = 0, **data: Any) -> Event:
    return event(EventKind.SUBMITTED, seconds, **{"task": "shop.pay", "args": {"n": 1}, **data})


def started(seconds: float, attempt: int = 1, **data: Any) -> Event:
    return event(EventKind.STARTED, seconds, attempt=attempt, **{"worker": "celery@one", **data})


def succeeded(seconds: float, attempt: int = 1, **data: Any) -> Event:
    return event(EventKind.SUCCEEDED, seconds, attempt=attempt, **{"result": 42, **data})


def failed(seconds: float, attempt: int = 1) -> Event:
    return event(EventKind.FAILED, seconds, attempt=attempt, error=ERROR)


def retry(seconds: float, attempt: int = 1) -> Event:
    return event(EventKind.RETRY, seconds, attempt=attempt, error=ERROR)


def dead(seconds: float, attempt: int = 1) -> Event:
    return event(EventKind.DEAD, seconds, attempt=attempt, error=ERROR)


def replayed(seconds: float, attempt: int = 2) -> Event:
    return event(EventKind.REPLAYED, seconds, attempt=attempt)


def revoked(seconds: float, attempt: int = 1, reason: str = "revoked") -> Event:
    return event(EventKind.REVOKED, seconds, attempt=attempt, reason=reason)


def recorded(*events: Event) -> Record:
    record = merge_all(None, events)
    assert record is not None
    return record


def seen(*events: Event) -> RunRow:
    return run_row(recorded(*events), NOW)


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """Make the events of a run that is retried, redelivered, revoked and finished at will."""
    seconds = 0.0
    facts = {"task": "shop.pay", "args": {"n": 1}, "queue": "fast", "root_id": RUN_ID}
    life = [submitted(0, queue="fast", tags=["a", "b"])] if draw(st.booleans()) else []
    for attempt in range(1, draw(st.integers(1, 4)) + 1):
        for _ in range(draw(st.integers(0, 4))):
            seconds += draw(st.sampled_from([0.0, 0.5, 2.0, -0.25]))
            kind = draw(st.sampled_from([k for k in EventKind if k is not EventKind.SUBMITTED]))
            # A redelivered attempt starts again, perhaps elsewhere.
            worker = f"celery@{draw(st.sampled_from(['one', 'two']))}"
            data = {**facts, "attempt": attempt, "worker": worker, "result": {"at": seconds}}
            more = {"error": ERROR | {"message": str(seconds)}, "current": seconds, "total": 9}
            if draw(st.booleans()):
                data["handed_back"] = {"started_at": at(seconds - 1).isoformat(), "at": str(at(0))}
            life.append(event(kind, seconds, **data, **more))
    return life


@st.composite
def lives_and_mixtures(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Make a life, and the same events in any order with any of them repeated."""
    life = draw(lives().filter(bool))
    repeated = draw(st.lists(st.sampled_from(life), max_size=6))
    return life, draw(st.permutations([*life, *repeated]))


@given(lives_and_mixtures())
def test_merge_gives_the_same_record_in_any_order_and_repetition(
    given_events: tuple[Sequence[Event], Sequence[Event]],
) -> None:
    life, mixture = given_events

    assert recorded(*mixture) == recorded(*life)


@given(lives_and_mixtures())
def test_merge_never_moves_a_run_backwards(
    given_events: tuple[Sequence[Event], Sequence[Event]],
) -> None:
    places = [(r.attempt, RANK[r.state], r.state_at) for r in _prefixes(given_events[1])]

    # The time of a submission alone orders nothing but itself.
    assert [place for place in places if place[0]] == sorted(p for p in places if p[0])


@given(st.lists(st.tuples(st.sampled_from(EventKind), ODD_DATA), min_size=1, max_size=6))
def test_merge_takes_any_data_without_an_error(
    parts: list[tuple[EventKind, dict[str, Any]]],
) -> None:
    record = recorded(*(Event(RUN_ID, kind, START, data) for kind, data in parts))

    assert run_row(record, NOW).as_json()["id"] == RUN_ID


def test_merge_tells_a_plain_life() -> None:
    run = seen(submitted(0, queue="fast", tags=["x"], priority=3), started(2), succeeded(5))

    assert (run.state, run.result, run.error, run.attempts) == ("SUCCESS", 42, None, 1)
    assert (run.submitted_at, run.started_at, run.finished_at) == (at(0), at(2), at(5))
    assert (run.task, run.args, run.queue) == ("shop.pay", {"n": 1}, "fast")
    assert (run.tags, run.priority, run.worker) == (("x",), 3, "celery@one")


def test_merge_shows_a_foreign_run_from_its_first_event() -> None:
    run = seen(started(3, task="their.task", args={"*": [1]}, queue="theirs"))

    assert (run.task, run.args, run.queue) == ("their.task", {"*": [1]}, "theirs")
    assert run.submitted_at == at(3)


def test_merge_takes_the_submission_word_over_the_worker_word() -> None:
    worker_word = started(1, task="shop.pay", args={"n": "cut"}, queue="other")

    for events in ([worker_word, submitted(queue="q")], [submitted(queue="q"), worker_word]):
        run = seen(*events)
        assert (run.args, run.queue) == ({"n": 1}, "q")


def test_merge_reads_the_creation_from_a_uuid7() -> None:
    record = recorded(event(EventKind.STARTED, 60, run_id=UUID7))

    assert record.created_at == int(UUID7.replace("-", "")[:12], 16) * 1000


def test_merge_dates_other_identifiers_by_their_first_event() -> None:
    assert recorded(started(5), submitted(2)).created_at == recorded(submitted(2)).created_at


def test_merge_keeps_success_against_a_late_start_and_failure() -> None:
    assert seen(succeeded(5), started(6), failed(7), revoked(8)).state == "SUCCESS"


def test_merge_lets_success_replace_failure_and_revocation() -> None:
    for ending in (failed(9), revoked(9)):
        run = seen(started(1), ending, succeeded(5))
        assert (run.state, run.error, run.finished_at) == ("SUCCESS", None, at(5))


def test_merge_reopens_a_finished_run_at_a_higher_attempt() -> None:
    run = seen(started(1), failed(2), started(3, attempt=2))

    assert (run.state, run.attempts, run.error, run.finished_at) == ("STARTED", 2, None, None)


def test_merge_shows_the_error_while_a_run_waits_for_its_retry() -> None:
    run = seen(started(1), retry(2))

    assert run.state == "RETRY"
    assert run.error is not None and run.error.message == "no 7"


def test_merge_counts_a_redelivered_start_from_the_later_one() -> None:
    assert seen(started(1), started(9, worker="celery@two"), succeeded(10)).started_at == at(9)


def test_merge_counts_no_attempt_for_a_run_revoked_while_it_waited() -> None:
    record = recorded(submitted(), revoked(4))

    run = run_row(record, NOW)
    assert (run.state, run.attempts, run.started_at) == ("REVOKED", 0, None)
    assert run.error is not None and run.error.type == "TaskRevokedError"
    assert attempt_rows(record) == ()


def test_merge_keeps_the_last_start_of_a_run_revoked_before_its_retry() -> None:
    run = seen(started(1), retry(2), revoked(3, attempt=2))

    assert (run.state, run.attempts, run.started_at) == ("REVOKED", 1, at(1))


def test_merge_hides_progress_of_an_older_attempt() -> None:
    old = event(EventKind.PROGRESS, 2, attempt=1, current=9, total=10)

    assert seen(started(1), old, retry(3), started(4, attempt=2)).progress is None


def test_merge_keeps_newer_progress() -> None:
    early = event(EventKind.PROGRESS, 2, current=1, total=10, message="one")
    late = event(EventKind.PROGRESS, 3, current=2, total=10)

    progress = seen(started(1), late, early).progress
    assert progress is not None and (progress.current, progress.total) == (2, 10)


def test_merge_takes_progress_as_proof_of_a_start() -> None:
    assert seen(submitted(), event(EventKind.PROGRESS, 2, current=1)).state == "STARTED"


def test_a_pending_run_is_scheduled_until_its_eta() -> None:
    record = recorded(submitted(eta=at(60).isoformat()))

    assert run_row(record, at(59)).state == "SCHEDULED"
    assert run_row(record, at(61)).state == "PENDING"


def test_attempts_tell_the_timeline() -> None:
    first, second = attempt_rows(
        recorded(
            submitted(), started(1), retry(2), started(5, 2, worker="celery@two"), failed(9, 2)
        )
    )

    assert (first.number, first.state, first.started_at, first.finished_at) == (
        (1, "RETRY", at(1), at(2))
    )  # fmt: skip
    assert (second.state, second.worker, second.finished_at) == ("FAILURE", "celery@two", at(9))
    assert second.error is not None and second.error.type == "ValueError"


def test_attempts_tell_of_an_execution_whose_worker_was_lost() -> None:
    life = [
        submitted(), started(1), started(9, worker="celery@two"), succeeded(12, worker="celery@two")
    ]  # fmt: skip

    for events in permutations(life):
        lost, ended = attempt_rows(recorded(*events))
        assert (lost.number, lost.lost, lost.started_at, lost.worker) == (
            (1, True, at(1), "celery@one")
        )  # fmt: skip
        assert (ended.number, ended.lost, ended.started_at, ended.state) == (
            (1, False, at(9), "SUCCESS")
        )  # fmt: skip
        assert ended.worker == "celery@two"


def test_attempts_keep_a_lost_execution_when_the_run_is_tried_again() -> None:
    rows = attempt_rows(recorded(started(1), started(3), retry(4), started(5, 2), started(7, 2)))

    assert [(row.number, row.lost, row.started_at) for row in rows] == [
        (1, True, at(1)), (1, False, at(3)), (2, True, at(5)), (2, False, at(7))
    ]  # fmt: skip


def test_attempts_tell_which_start_a_stopping_worker_handed_back() -> None:
    told = {"started_at": at(3).isoformat(), "at": at(4).isoformat()}
    life = [started(1), started(3), started(7, handed_back=told), succeeded(9)]

    for events in permutations(life):
        rows = attempt_rows(recorded(*events, retry(9.5), started(10, 2)))
        assert [(row.state, row.lost, row.finished_at) for row in rows] == [
            ("LOST", True, None),
            ("HANDED_BACK", True, at(4)),
            ("SUCCESS", False, at(9)),
            ("STARTED", False, None),
        ]


def test_run_has_waited_until_its_first_execution_though_that_was_lost() -> None:
    record = recorded(submitted(), started(2), started(60), succeeded(61))

    assert record.first_started_at() == int(at(2).timestamp() * 1_000_000)


def test_replay_reopens_a_dead_run_as_another_attempt() -> None:
    life = [submitted(), started(1), dead(3), replayed(9), started(12, 2), succeeded(15, 2)]

    waiting, executing = seen(*life[:4]), seen(*life[:5])
    assert (waiting.state, waiting.finished_at, waiting.error) == ("PENDING", None, None)
    assert (waiting.attempts, executing.attempts) == (1, 2)
    assert (executing.state, executing.started_at, executing.finished_at) == (
        ("STARTED", at(12), None)
    )  # fmt: skip
    for events in permutations(life):
        first, second = attempt_rows(recorded(*events))
        assert (first.state, first.finished_at) == ("DEAD", at(3))
        assert (second.state, second.replayed_at) == ("SUCCESS", at(9))


def test_nothing_late_of_a_dead_life_wins_over_a_replay() -> None:
    run = seen(submitted(), started(1), dead(3), replayed(9), started(20), failed(30), dead(40))

    assert (run.state, run.error, run.finished_at) == ("PENDING", None, None)


def test_only_a_failure_has_a_fingerprint() -> None:
    assert recorded(started(1), failed(2)).fingerprint
    assert recorded(started(1), retry(2)).fingerprint is None
    assert recorded(started(1), failed(2), succeeded(3)).fingerprint is None


def test_merge_returns_the_same_record_for_a_replay() -> None:
    record = recorded(submitted(), started(1), succeeded(2))

    assert merge(record, started(1)) == record


def _prefixes(events: Iterable[Event]) -> list[Record]:
    records: list[Record] = []
    for each in events:
        records.append(merge(records[-1] if records else None, each))
    return records
