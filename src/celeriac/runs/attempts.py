"""The attempts of a run, as the history has them and as the newest one is now."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from celeriac.history import AttemptRow
from celeriac.runs.run import Run, RunError, RunState


class Attempt(BaseModel):
    """One execution of a run; `state` tells how it ended, or STARTED."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="The first is 1.")
    state: RunState
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: RunError | None
    lost: bool = Field(
        False, description="Whether its worker was lost while it executed. The message was "
        "delivered again: what follows is the same attempt."
    )  # fmt: skip


class AttemptList(BaseModel):
    """Every attempt, the first one first."""

    model_config = ConfigDict(frozen=True)

    attempts: list[Attempt]


def attempts_of(run: Run, recorded: Sequence[AttemptRow]) -> list[Attempt]:
    """Give all attempts: the run itself knows the newest, the history those before."""
    lost = [_of_row(row) for row in recorded if row.lost]
    known = {row.number: _of_row(row) for row in recorded if not row.lost}
    if run.attempts:
        newest = _newest(run)
        known[newest.number] = _joined(newest, known.get(newest.number))
    # Sorting keeps the order of equals: what was lost comes first, as it was recorded.
    return sorted([*lost, *known.values()], key=lambda attempt: attempt.number)


def _of_row(row: AttemptRow) -> Attempt:
    error = row.error
    return Attempt(
        number=row.number,
        state=RunState(row.state),
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker=row.worker,
        error=RunError(type=error.type, message=error.message) if error else None,
        lost=row.lost,
    )


def _newest(run: Run) -> Attempt:
    executes = run.state not in (RunState.PENDING, RunState.SCHEDULED)
    return Attempt(
        number=run.attempts,
        state=run.state if executes else RunState.STARTED,
        started_at=run.started_at,
        finished_at=run.finished_at,
        worker=run.worker,
        error=run.error.model_copy(update={"traceback": None}) if run.error else None,
    )


def _joined(now: Attempt, recorded: Attempt | None) -> Attempt:
    """Fill what the live state does not tell, such as when an attempt failed that is retried."""
    if recorded is None or recorded.state != now.state:
        return now
    unknown = {
        name: getattr(recorded, name)
        for name in ("started_at", "finished_at", "worker", "error")
        if getattr(now, name) is None
    }
    return now.model_copy(update=unknown)
