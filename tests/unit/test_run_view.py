"""What a run's page says of the time that it took."""

from datetime import UTC, datetime, timedelta

from celeriac.runs import Attempt, Run, RunState
from celeriac.web.run_view import RunView

START = datetime(2026, 1, 1, tzinfo=UTC)


def _attempt(number: int, start_s: float, end_s: float, state: RunState) -> Attempt:
    return Attempt(
        number=number,
        state=state,
        started_at=START + timedelta(seconds=start_s),
        finished_at=START + timedelta(seconds=end_s),
        worker=None,
        error=None,
    )


def test_time_of_a_run_with_several_attempts_is_that_of_all_of_them() -> None:
    attempts = (_attempt(1, 0, 1, RunState.RETRY), _attempt(2, 8, 8.2, RunState.SUCCESS))
    run = Run(
        id="one",
        state=RunState.SUCCESS,
        attempts=2,
        started_at=attempts[1].started_at,
        finished_at=attempts[1].finished_at,
    )

    view = RunView(run, attempts)

    assert (view.whole_s, view.attempts_words) == (8.2, " and 2 attempts")
    assert view.ran_s is not None and view.ran_s < 1
