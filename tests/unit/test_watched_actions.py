"""An action on many runs or letters that goes on for hours, for somebody who may no longer."""

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from access_app import CHEAP, ROOT, AccessApp, access_app
from celeriac.access import Role, Scope, passwords
from celeriac.runs import BulkProgress, LetterProgress, RunCount
from celeriac.web.access import watching

ALL = 50
LAST = 3
"""How many are done before something happens."""

CALLS: dict[str, dict[str, Any]] = {
    "/api/v1/runs/cancel": {"filter": {"queue": "q"}},
    "/api/v1/runs/resubmit": {"filter": {"queue": "q"}, "rate": 5},
    "/api/v1/dead-letters/replay": {"all": True, "rate": 5},
    "/api/v1/dead-letters/sign": {"ids": ["a"]},
    "/api/v1/dead-letters/discard": {"all": True, "confirm": "discard"},
}
FORMS: dict[str, dict[str, Any]] = {
    "/runs/actions": {"action": "cancel", "confirmed": "1", "counted": str(ALL)},
    "/dead-letters/replay": {"all": "true", "confirmed": "1"},
    "/dead-letters/discard": {"all": "true", "confirm": "discard"},
}


class _Runs:
    """Goes through runs and letters, and something happens on the way."""

    known_counts = None

    def __init__(self) -> None:
        self.happens: Callable[[], object] = int
        self.done = 0
        self.is_closed = False
        self.bulk = self.dead_letters = self

    def count_to_cancel(self, *_: Any, **__: Any) -> RunCount:
        return RunCount(ALL, False)

    def cancel(self, *_: Any, **__: Any) -> Generator[BulkProgress]:
        for done in self._gone_through():
            yield BulkProgress(matched=ALL, capped=False, done=done, finished=done == ALL)

    resubmit = cancel

    def replay(self, *_: Any) -> Generator[LetterProgress]:
        for done in self._gone_through():
            yield LetterProgress(total=ALL, done=done, finished=done == ALL)

    sign = discard = replay

    def _gone_through(self) -> Iterator[int]:
        try:
            for self.done in range(ALL + 1):
                if self.done == LAST:
                    self.happens()
                yield self.done
        finally:
            self.is_closed = True


@pytest.fixture
def runs() -> _Runs:
    return _Runs()


@pytest.fixture
def web(tmp_path: Path, runs: _Runs, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccessApp]:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 0)
    with access_app(tmp_path, runs) as found:
        found.app.config["WTF_CSRF_ENABLED"] = False
        found.add("ada", Role.ADMIN)
        found.add("eve", Role.ADMIN)
        yield found


CHANGES: dict[str, Callable[[AccessApp], object]] = {
    "revoked": lambda web: web.access.tokens.revoke(ROOT, web.access.tokens.all()[0].id),
    "disabled": lambda web: web.access.users.disable(ROOT, "ada"),
    "lower": lambda web: web.access.users.change(ROOT, "ada", Role.VIEWER, Scope()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("path", CALLS)
def test_call_stops_where_its_caller_may_no_longer(
    web: AccessApp, runs: _Runs, path: str, change: str
) -> None:
    bearer = web.bearer("ada", Role.ADMIN)
    runs.happens = lambda: CHANGES[change](web)

    answer = web.app.test_client().post(path, json=CALLS[path], headers=bearer)

    last = json.loads(answer.text.splitlines()[-1])
    assert (last["done"], last["finished"]) == (LAST, False)
    assert "rights" in last["stopped"]
    assert (runs.done, runs.is_closed) == (LAST, True)


@pytest.mark.parametrize("path", CALLS)
def test_call_goes_on_to_its_end_for_whoever_may(web: AccessApp, runs: _Runs, path: str) -> None:
    answer = web.app.test_client().post(
        path, json=CALLS[path], headers=web.bearer("ada", Role.ADMIN)
    )

    last = json.loads(answer.text.splitlines()[-1])
    assert (last["done"], last["finished"], last["stopped"]) == (ALL, True, None)


@pytest.mark.parametrize("path", FORMS)
def test_form_without_scripts_stops_where_its_sender_may_no_longer(
    web: AccessApp, runs: _Runs, path: str
) -> None:
    bearer = web.bearer("ada", Role.ADMIN)
    runs.happens = lambda: web.access.users.disable(ROOT, "ada")

    answer = web.app.test_client().post(path, data=FORMS[path], headers=bearer)

    assert answer.status_code in (200, 303)
    assert (runs.done, runs.is_closed) == (LAST, True)
