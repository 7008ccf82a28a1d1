"""The page of a run that was revoked says why."""

from datetime import UTC, datetime

import pytest

from celeriac.runs import Run, RunError, RunState
from celeriac.web.run_view import RunView


@pytest.mark.parametrize(
    ("reason", "started", "words"),
    [
        ("revoked", False, "This run was cancelled before it started"),
        ("terminated", True, "This run was cancelled"),
        ("expired", False, "This run expired before it could start"),
        ("ignored by its task", True, "The task left this run at that (it raised Ignore)"),
        (None, True, "This run was cancelled"),
    ],
)
def test_reason_is_told_in_words(reason: str | None, started: bool, words: str) -> None:
    run = Run(
        id="one",
        state=RunState.REVOKED,
        started_at=datetime.now(UTC) if started else None,
        error=RunError(type="TaskRevokedError", message=reason) if reason else None,
    )

    assert RunView(run).revoked_because == words


def test_word_beside_the_state_tells_who_ended_it() -> None:
    words = [
        RunView(
            Run(id="one", state=RunState.REVOKED, error=RunError(type="Revoked", message=reason))
        ).revoked_word
        for reason in ("terminated", "expired")
    ]

    assert words == ["cancelled", "expired"]
