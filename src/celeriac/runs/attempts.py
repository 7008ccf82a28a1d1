"""The attempts of a run, as the history has them and as the newest one is now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from celeriac.history import AttemptRow
from celeriac.runs.run import Run, RunError, RunState

AttemptState = RunState | Literal["LOST", "HANDED_BACK"]


class Attempt(BaseModel):
    """One execution of a run, or a replay that waits for its own."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="The first is 1.")
    state: AttemptState = Field(
        description="How it ended; `STARTED` while it executes, `PENDING` while it waits after a "
        "replay, `LOST` where its worker was lost, `HANDED_BACK` where that stopped in good order."
    )
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: RunError | None
    lost: bool = Field(
        False, description="Whether its worker was lost or stopped while it executed. The message "
        "was delivered again: what follows is the same attempt."
    )  # fmt: skip
    start: int | None = Field(
        None, description="Which start of its attempt it is; the first is 1. Null where it is not "
        "known, or it has not started."
    )  # fmt: skip
    replayed_at: datetime | None = Field(
        None, description="When the attempt began with the replay of a dead letter."
    )


class AttemptList(BaseModel):
    """Every attempt, the first one first."""

    model_config = ConfigDict(frozen=True)

    attempts: list[Attempt]


def attempts_of(run: Run, recorded: Sequence[AttemptRow]) -> list[Attempt]:
    """Give all attempts: the run itself knows the newest, the history those before."""
    lost = [_of_row(row) for row in recorded if row.lost]
    known = {row.number: _of_row(row) for row in recorded if not row.lost}
    # What was replayed and waits, or was revoked while it did, is no execution of the run.
    if run.attempts and run.attempts >= max(known, default=0):
        newest = _newest(run)
        known[newest.number] = _joined(newest, known.get(newest.number))
    # Sorting keeps the order of equals: what was lost comes first, as it was recorded.
    return sorted([*lost, *known.values()], key=lambda attempt: attempt.number)


def _of_row(row: AttemptRow) -> Attempt:
    error = row.error
    return Attempt(
        number=row.number,
        state=row.state if row.lost else RunState(row.state),
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker=row.worker,
        error=RunError(type=error.type, message=error.message) if error else None,
        lost=row.lost,
        start=row.start,
        replayed_at=row.replayed_at,
    )


def _newest(run: Run) -> Attempt:
    # A run that was executed and waits, but is not tried again, was dead and is replayed.
    was_dead = run.state in (RunState.PENDING, RunState.SCHEDULED)
    return Attempt(
        number=run.attempts,
        state=RunState.DEAD if was_dead else run.state,
        started_at=run.started_at,
        finished_at=run.finished_at,
        worker=run.worker,
        error=run.error.model_copy(update={"traceback": None}) if run.error else None,
    )


def _joined(now: Attempt, recorded: Attempt | None) -> Attempt:
    """Fill what the live state does not tell, such as when an attempt failed that is retried."""
    if recorded is None:
        return now
    always = ("start", "replayed_at")
    same_state = ("started_at", "finished_at", "worker", "error")
    unknown = {
        name: getattr(recorded, name)
        for name in (*always, *(same_state if recorded.state == now.state else ()))
        if getattr(now, name) is None
    }
    return now.model_copy(update=unknown)
