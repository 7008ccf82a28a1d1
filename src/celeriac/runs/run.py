"""A run as people and programs see it."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticSerializationError

from celeriac.history import RunRow

Utc = Annotated[datetime, AfterValidator(lambda at: at.astimezone(UTC) if at.tzinfo else at)]


class RunState(StrEnum):
    """Celery's states; `SCHEDULED` is a pending run held for its ETA, `DEAD` a dead letter."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"
    DEAD = "DEAD"

    @property
    def finished(self) -> bool:
        """Tell whether a run in this state changes no more."""
        return self in (RunState.SUCCESS, RunState.FAILURE, RunState.REVOKED, RunState.DEAD)


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class Progress(_View):
    """How far a run has come, as its task reports it with `update_state`."""

    current: int | float | None = None
    total: int | float | None = None
    message: str | None = None


class RunError(_View):
    """Why a run failed or is tried again."""

    type: str
    message: str
    traceback: str | None = None


class Run(_View):
    """One submission of a task. Instants are in UTC; what is unknown is null."""

    id: str = Field(description="Celery's task id, a UUIDv7.")
    task: str | None = None
    state: RunState
    args: JsonValue = Field(None, description="The arguments by name.")
    result: JsonValue = None
    error: RunError | None = None
    progress: Progress | None = None
    queue: str | None = None
    priority: int | None = None
    tags: list[str] = []
    attempts: int = Field(0, description="Executions so far, the present one included.")
    worker: str | None = None
    submitted_at: datetime | None = None
    eta: Utc | None = None
    started_at: datetime | None = Field(None, description="When the latest attempt started.")
    finished_at: datetime | None = None
    parent_id: str | None = None
    root_id: str | None = None
    resubmit_of: str | None = None


class RunList(_View):
    """A page of runs, newest first; no cursor on the last one."""

    runs: list[Run]
    next_cursor: str | None = None


def run_of(row: RunRow) -> Run:
    """Give a run of the history as people see it."""
    return Run.model_validate(row.as_json())


def json_of(model: BaseModel) -> str:
    """Write a model as JSON, half a surrogate pair included, which only an escape can write."""
    try:
        return model.model_dump_json()
    except PydanticSerializationError:
        return json.dumps(model.model_dump(mode="json"))
