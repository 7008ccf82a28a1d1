"""What people see of a run, out of its live record and Celery's result."""

from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.marks import is_mark
from celeriac.runs.reading import read_run
from celeriac.runs.run import RunState, json_of


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("result", [_nested(600), {"\ud800": 1}], ids=["deep", "half a pair"])
def test_result_that_cannot_be_shown_is_a_mark(result: Any) -> None:
    run = read_run("one", {}, {"status": "SUCCESS", "result": result})

    assert is_mark(run.result)
    assert '"$cut"' in json_of(run)


@pytest.mark.parametrize("told", ["2030-01-01T09:00:00", "2030-01-01T18:00:00+09:00"])
def test_end_that_tells_no_zone_is_utc(told: str) -> None:
    run = read_run("one", {}, {"status": "SUCCESS", "date_done": told})

    assert run.finished_at == datetime(2030, 1, 1, 9, tzinfo=UTC)


def test_run_that_executes_again_is_not_what_an_error_that_was_stored_says() -> None:
    error = {"exc_type": "ValueError", "exc_message": ["no"]}

    run = read_run("one", {"state": "STARTED"}, {"status": "RETRY", "result": error})

    assert (run.state, run.error) == (RunState.STARTED, None)
