"""A run's life as bars: what they mean, and where they stand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.history import AttemptRow
from celeriac.runs import Attempt, LogLine, Run, RunState, attempts_of
from celeriac.web.run_timeline import LEAST_WIDTH, WIDTH, SpanKind, Timeline, timeline_of
from celeriac.web.run_view import RunView

BEGIN = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def _attempt(number: int, state: RunState, begin: float, end: float | None, **more: Any) -> Attempt:
    return Attempt(
        number=number,
        state=state,
        started_at=_at(begin),
        finished_at=None if end is None else _at(end),
        worker="w",
        error=None,
        **more,
    )


def _lost(number: int, start: int | None, begin: float, **more: Any) -> Attempt:
    found = _attempt(number, RunState.STARTED, begin, None, lost=True, start=start, **more)
    return found.model_copy(update={"state": "LOST"})


def _timeline(state: RunState, attempts: list[Attempt], now_s: float, **known: Any) -> Timeline:
    run = Run(id="r", state=state, submitted_at=BEGIN, attempts=len(attempts), **known)
    return timeline_of(run, attempts, _at(now_s))


def _bars(timeline: Timeline) -> list[tuple[str, float, float]]:
    return [(str(span.kind), span.x, span.x + span.width) for span in timeline.spans]


def test_run_waits_and_executes_on_one_line_of_time() -> None:
    attempts = [_attempt(1, RunState.SUCCESS, 2, 8)]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(8))

    assert _bars(timeline) == [("queued", 0, 250), ("attempt", 250, 1000)]
    assert [span.seconds for span in timeline.spans] == [2, 6]
    assert timeline.seconds == 8


def test_pause_between_attempts_is_a_bar_of_its_own() -> None:
    attempts = [_attempt(1, RunState.RETRY, 0, 1), _attempt(2, RunState.SUCCESS, 3, 4)]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(4))

    kinds = [span.kind for span in timeline.spans]
    assert kinds == [SpanKind.QUEUED, SpanKind.ATTEMPT, SpanKind.PAUSE, SpanKind.ATTEMPT]
    assert (timeline.spans[2].x, timeline.spans[2].width) == (250, 500)
    assert [span.label for span in timeline.spans if span.attempt] == ["Attempt 1", "Attempt 2"]


def test_run_that_is_held_shows_its_eta_and_then_the_queue() -> None:
    held = _timeline(RunState.SCHEDULED, [], 1, eta=_at(10))
    done = _timeline(
        RunState.SUCCESS, [_attempt(1, RunState.SUCCESS, 12, 20)], 99, eta=_at(10),
        finished_at=_at(20),
    )  # fmt: skip

    assert _bars(held) == [("held", 0, 100)], "a tenth of the way to its ETA"
    assert held.spans[0].ends_at is None
    assert _bars(done) == [("held", 0, 500), ("queued", 500, 600), ("attempt", 600, 1000)]


def test_run_that_goes_on_reaches_to_now() -> None:
    timeline = _timeline(RunState.STARTED, [_attempt(1, RunState.STARTED, 1, None)], 4)

    assert _bars(timeline) == [("queued", 0, 250), ("attempt", 250, 1000)]
    assert timeline.spans[-1].ends_at is None
    assert timeline.ends_at is None


def test_run_that_will_be_tried_again_waits_until_now() -> None:
    timeline = _timeline(RunState.RETRY, [_attempt(1, RunState.RETRY, 0, 2)], 4)

    assert (timeline.spans[-1].kind, timeline.spans[-1].ends_at) == (SpanKind.PAUSE, None)
    assert timeline.spans[-1].x == 500


def test_run_that_was_cancelled_while_it_waited_only_waited() -> None:
    timeline = _timeline(RunState.REVOKED, [], 99, finished_at=_at(3))

    assert _bars(timeline) == [("queued", 0, 1000)]


def test_run_of_which_nothing_is_known_has_no_bars() -> None:
    run = Run(id="r", state=RunState.PENDING)

    assert timeline_of(run, [], BEGIN) == Timeline((), None)


SECONDS = st.floats(-10, 1e6) | st.none()


@given(eta=SECONDS, spans=st.lists(st.tuples(SECONDS, SECONDS), max_size=4), end=SECONDS)
@pytest.mark.parametrize("state", list(RunState))
def test_bars_stay_in_the_picture_whatever_the_clocks_say(
    state: RunState,
    eta: float | None,
    spans: list[tuple[float | None, float | None]],
    end: float | None,
) -> None:
    attempts = [
        Attempt(
            number=number,
            state=RunState.RETRY,
            started_at=None if begin is None else _at(begin),
            finished_at=None if finish is None else _at(finish),
            worker=None,
            error=None,
        )
        for number, (begin, finish) in enumerate(spans, 1)
    ]
    known = {"eta": None if eta is None else _at(eta), "finished_at": end and _at(end)}

    timeline = _timeline(state, attempts, 5, **known)

    for span in timeline.spans:
        assert span.x >= -0.1 and span.x + span.width <= WIDTH + 0.1
        assert span.width >= LEAST_WIDTH
        assert span.seconds is None or span.seconds >= 0


def test_execution_whose_worker_was_lost_lasts_until_its_attempt_begins_again() -> None:
    attempts = [_lost(1, 1, 2), _attempt(1, RunState.SUCCESS, 6, 10, start=2)]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(10))

    assert _bars(timeline) == [("queued", 0, 200), ("attempt", 200, 600), ("attempt", 600, 1000)]
    assert [span.label for span in timeline.spans if span.attempt] == [
        "Attempt 1, start 1 — worker lost or stopped",
        "Attempt 1, start 2",
    ]


def test_pause_before_an_attempt_ends_where_its_first_execution_begins() -> None:
    lost = _attempt(2, RunState.STARTED, 6, None).model_copy(update={"lost": True})
    attempts = [
        _attempt(1, RunState.RETRY, 0, 2), lost, _attempt(2, RunState.SUCCESS, 8, 10),
    ]  # fmt: skip

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(10))

    bars = [bar for bar in _bars(timeline) if bar[0] != "queued"]
    assert [(kind, round(x), round(until)) for kind, x, until in bars] == [
        ("attempt", 0, 200), ("pause", 200, 600), ("attempt", 600, 800), ("attempt", 800, 1000),
    ]  # fmt: skip


def test_log_is_divided_where_an_attempt_began_again() -> None:
    lost = _attempt(1, RunState.STARTED, 2, None).model_copy(update={"lost": True})
    attempts = (lost, _attempt(1, RunState.SUCCESS, 6, 10))
    run = Run(id="r", state=RunState.SUCCESS, submitted_at=BEGIN, started_at=_at(6), attempts=1)
    view = RunView(run, attempts)
    lines = [
        LogLine(id=str(at), at=_at(at), level="INFO", logger=None, text="", attempt=1)
        for at in (3, 5, 7, 8)
    ]

    divided = [view.begins_again_before(*pair) for pair in zip(lines, [None, *lines], strict=False)]

    assert divided == [False, False, True, False]
    assert view.waited_s == 2


def test_attempts_of_the_history_and_of_now_keep_the_lost_one() -> None:
    run = Run(
        id="r", state=RunState.STARTED, submitted_at=BEGIN, started_at=_at(6), attempts=1
    )  # fmt: skip
    recorded = [
        AttemptRow(1, "STARTED", _at(2), None, "one", None, lost=True),
        AttemptRow(1, "STARTED", _at(6), None, "two", None),
    ]

    found = attempts_of(run, recorded)

    assert [(each.lost, each.worker) for each in found] == [(True, "one"), (False, "two")]


def _labels(timeline: Timeline) -> list[str]:
    return [span.label for span in timeline.spans]


def test_run_that_was_poison_and_was_replayed_is_told_step_by_step() -> None:
    attempts = [
        _lost(1, 1, 1),
        _attempt(1, RunState.DEAD, 2, 3, start=2),
        _attempt(2, RunState.SUCCESS, 5, 6, start=1, replayed_at=_at(4)),
    ]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(6))

    assert _labels(timeline) == [
        "Waited in the queue",
        "Attempt 1, start 1 — worker lost or stopped",
        "Attempt 1, start 2",
        "Lay as a dead letter",
        "Waited in the queue",
        "Attempt 2",
    ]
    assert all(span.ends_at for span in timeline.spans)
    assert [span.replayed for span in timeline.spans] == [False] * 4 + [True, False]


def test_replay_that_its_worker_was_faster_than_is_shown_all_the_same() -> None:
    attempts = [
        _attempt(1, RunState.DEAD, 1, 2, start=1),
        _attempt(2, RunState.SUCCESS, 5, 6, start=1),
    ]

    timeline = _timeline(RunState.SUCCESS, attempts, 9, finished_at=_at(6))

    shown = [
        (span.kind, span.begins_at, span.ends_at, span.replayed) for span in timeline.spans[2:4]
    ]
    assert shown == [
        (SpanKind.LETTER, _at(2), _at(5), False),
        (SpanKind.QUEUED, _at(5), _at(5), True),
    ]


def test_replayed_run_that_waits_shows_that_it_waits_again() -> None:
    attempts = [
        _attempt(1, RunState.DEAD, 1, 2, start=1),
        Attempt(
            number=2, state=RunState.PENDING, started_at=None, finished_at=None, worker=None,
            error=None, replayed_at=_at(3),
        ),
    ]  # fmt: skip

    timeline = _timeline(RunState.PENDING, attempts, 9)

    assert _labels(timeline)[-2:] == ["Lay as a dead letter", "Waits in the queue"]
    assert timeline.spans[-1].ends_at is None


def test_letter_that_no_worker_could_start_lay_until_its_replay() -> None:
    dead = Attempt(
        number=1, state=RunState.DEAD, started_at=None, finished_at=_at(2), worker="w", error=None
    )
    again = _attempt(2, RunState.SUCCESS, 8, 9, start=1, replayed_at=_at(7))

    timeline = _timeline(RunState.SUCCESS, [dead, again], 99, finished_at=_at(9))

    assert [(span.label, span.seconds) for span in timeline.spans] == [
        ("Waited in the queue", 2),
        ("Lay as a dead letter", 5),
        ("Waited in the queue", 1),
        ("Attempt 2", 1),
    ]


def test_start_that_a_stopping_worker_handed_back_says_so_and_waits_again() -> None:
    handed_back = _lost(1, 1, 1).model_copy(update={"state": "HANDED_BACK", "finished_at": _at(3)})
    attempts = [handed_back, _attempt(1, RunState.SUCCESS, 6, 10, start=2)]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(10))

    assert [(span.label, span.seconds) for span in timeline.spans] == [
        ("Waited in the queue", 1),
        ("Attempt 1, start 1 — handed back by a stopping worker", 2),
        ("Waited in the queue", 3),
        ("Attempt 1, start 2", 4),
    ]


def test_many_lost_starts_are_folded() -> None:
    lost = [_lost(1, start, start) for start in range(1, 11)]
    attempts = [*lost, _attempt(1, RunState.DEAD, 11, 12, start=11)]

    timeline = _timeline(RunState.DEAD, attempts, 99, finished_at=_at(12))

    assert _labels(timeline)[1] == "Attempt 1, first 6 starts not shown"
    assert (timeline.spans[1].begins_at, timeline.spans[1].ends_at) == (_at(1), _at(7))
    assert _labels(timeline)[2:] == [
        *(f"Attempt 1, start {start} — worker lost or stopped" for start in range(7, 11)),
        "Attempt 1, start 11",
    ]


def test_dead_letter_that_lay_for_days_leaves_room_for_the_rest() -> None:
    attempts = [
        _attempt(1, RunState.DEAD, 1, 2),
        _attempt(2, RunState.SUCCESS, 300_001, 300_002, replayed_at=_at(300_000)),
    ]

    timeline = _timeline(RunState.SUCCESS, attempts, 99, finished_at=_at(300_002))

    widths = {span.label: span.width for span in timeline.spans}
    assert widths["Attempt 2"] > 150 and widths["Lay as a dead letter"] < 250
    assert timeline.spans[-1].x + timeline.spans[-1].width == pytest.approx(WIDTH)


def test_replay_is_told_while_the_run_waits_and_after_it_was_executed() -> None:
    recorded = [
        AttemptRow(1, "DEAD", _at(1), _at(2), "one", None, start=1),
        AttemptRow(2, "PENDING", None, None, None, None, replayed_at=_at(3)),
    ]
    waits = Run(id="r", state=RunState.PENDING, submitted_at=BEGIN, started_at=_at(1), attempts=1)
    runs = waits.model_copy(update={"state": RunState.STARTED, "started_at": _at(4), "attempts": 2})

    waiting, running = (attempts_of(each, recorded) for each in (waits, runs))

    assert [(each.number, each.state) for each in waiting] == [(1, "DEAD"), (2, "PENDING")]
    assert [(each.number, each.state) for each in running] == [(1, "DEAD"), (2, "STARTED")]
    assert running[1].replayed_at == waiting[1].replayed_at == _at(3)


def test_replayed_run_whose_replay_is_not_recorded_yet_was_dead() -> None:
    waits = Run(id="r", state=RunState.PENDING, submitted_at=BEGIN, started_at=_at(1), attempts=1)

    assert [each.state for each in attempts_of(waits, [])] == [RunState.DEAD]
