"""Waiting for runs that Redis has forgotten: the history still knows how they ended."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from celeriac.errors import RunNotFoundError
from celeriac.runs import Run, RunState
from celeriac.runs.listening import Listening

STARTED = Run(id="r", state=RunState.STARTED)
ENDED = Run(id="r", state=RunState.SUCCESS)


class _Store:
    """Knows a run for a while."""

    def __init__(self, *views: Run) -> None:
        self.views = views

    def watch(self, run_id: str, until_s: float) -> Iterator[Run]:
        yield from self.views
        raise RunNotFoundError(run_id)


def _listening(get: Any, *views: Run) -> Listening:
    return Listening(cast(Any, _Store(*views)), cast(Any, None), get)


@pytest.mark.parametrize("views", [[], [STARTED]])
def test_run_that_redis_has_forgotten_comes_from_the_history(views: list[Run]) -> None:
    listening = _listening(lambda run_id: ENDED, *views)

    assert [*listening.watch("r")] == [*views, ENDED]
    assert listening.wait("r", 1) == ENDED


def test_run_that_nobody_knows_is_not_found() -> None:
    def get(run_id: str) -> Run:
        raise RunNotFoundError(run_id)

    with pytest.raises(RunNotFoundError):
        [*_listening(get).watch("r")]
