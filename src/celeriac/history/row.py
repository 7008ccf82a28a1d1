"""Runs as the history gives them: parsed, with aware UTC instants, independent of the tables."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from celeriac.history.states import FINISHED


@dataclass(frozen=True)
class ErrorRow:
    """Why a run failed, is tried again or was revoked."""

    type: str
    message: str
    traceback: str | None = None


@dataclass(frozen=True)
class ProgressRow:
    """How far a run has come."""

    current: int | float | None = None
    total: int | float | None = None
    message: str | None = None


@dataclass(frozen=True)
class RunRow:
    """One run. What is unknown is None; `args` and `result` are any JSON value."""

    id: str
    task: str | None
    state: str
    args: Any
    result: Any
    error: ErrorRow | None
    progress: ProgressRow | None
    queue: str | None
    priority: int | None
    tags: tuple[str, ...]
    attempts: int
    worker: str | None
    submitted_at: datetime
    eta: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    parent_id: str | None
    root_id: str | None
    resubmit_of: str | None

    def as_json(self) -> dict[str, Any]:
        """Give the run as the API shows it, with instants in RFC 3339."""
        return {field.name: _jsonable(getattr(self, field.name)) for field in fields(self)}


LOST = "LOST"
"""How an execution ended whose worker was lost: Celery has no word for it."""
HANDED_BACK = "HANDED_BACK"
"""How one ended whose worker handed the run back as it stopped."""


@dataclass(frozen=True)
class AttemptRow:
    """One execution of a run; `state` tells how it ended, STARTED, or PENDING after a replay.

    One that was `lost` ended with its worker; when, is known only where that handed it back.
    """

    number: int
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: ErrorRow | None
    lost: bool = False
    replayed_at: datetime | None = None
    """When its dead letter was sent again, where the attempt began so."""
    start: int | None = None
    """Which start of the attempt it is, the first is 1; None where it has none, or nobody knows."""

    @property
    def finished(self) -> bool:
        """Tell whether the run ended with this attempt."""
        return self.state in FINISHED


@dataclass(frozen=True)
class LogRow:
    """A line that a run logged; `seq` orders the lines of one run and is a place to go on from."""

    seq: int
    at: datetime
    level: str
    logger: str | None
    text: str
    attempt: int | None = None


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (ErrorRow, ProgressRow)):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, tuple):
        return list(value)
    return value
