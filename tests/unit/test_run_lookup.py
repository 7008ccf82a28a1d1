"""Reading a run that Redis has forgotten."""

from typing import Any

import pytest

from celeriac.errors import HistoryUnavailableError, RunNotFoundError
from celeriac.history import History
from celeriac.runs import RunHistory, Runs


class _Forgetful:
    def get(self, run_id: str) -> None:
        raise RunNotFoundError(run_id)


def _runs(history_url: str) -> Runs:
    runs: Any = object.__new__(Runs)
    runs._store, runs.history = _Forgetful(), RunHistory(History(history_url))
    return runs  # type: ignore[no-any-return]


def test_run_is_not_missing_where_the_history_cannot_tell() -> None:
    with pytest.raises(HistoryUnavailableError):
        _runs("sqlite:////proc/nowhere/history.db").get("one")


def test_run_is_missing_where_the_history_has_none(tmp_path: Any) -> None:
    with pytest.raises(RunNotFoundError):
        _runs(f"sqlite:///{tmp_path}/history.db").get("one")
