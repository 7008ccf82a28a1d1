"""A worker as it tells of itself, and how that is written to Redis and read again."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python

from celeriac.fleet import KEEP_S, WORKER_PREFIX, WORKERS


class WorkerState(StrEnum):
    """How a worker is; `lost` is what others say of one that has gone without a word."""

    ONLINE = "online"
    STOPPING = "stopping"
    OFFLINE = "offline"
    LOST = "lost"

    @property
    def is_alive(self) -> bool:
        """Tell whether a worker in this state executes runs."""
        return self in (WorkerState.ONLINE, WorkerState.STOPPING)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class ActiveRun(_Told):
    """A run that a worker executes."""

    id: str
    task: str
    queue: str | None = None
    started_at: datetime | None = None


class Versions(_Told):
    """What a worker runs on."""

    celery: str
    celeriac: str
    python: str


class Worker(_Told):
    """One Celery worker as it last told of itself. Instants are in UTC."""

    name: str = Field(description="Celery's node name, such as `worker1@host`.")
    state: WorkerState
    connected: bool = Field(description="Whether it has a connection to the broker.")
    heartbeat_at: datetime = Field(description="When it last gave a sign of life.")
    started_at: datetime
    hostname: str
    pid: int
    pool: str = Field(description="Celery's word: `prefork`, `threads`, `solo` ...")
    concurrency: int = Field(description="How many runs it executes at once now.")
    can_resize: bool = Field(description="Whether its pool grows and shrinks when told to.")
    prefetch: int | None = Field(
        None, description="How many messages it may hold; null when it may hold any number."
    )
    active: list[ActiveRun] = Field([], description="Runs that it executes; the first 50.")
    active_count: int = 0
    taken: dict[str, int] = Field(
        {}, description="Messages by queue that it holds: those executed, and those fetched ahead."
    )
    processed: int = Field(0, description="Runs that it has started to execute since its start.")
    queues: list[str] = Field([], description="Queues that it consumes.")
    paused: list[str] = Field([], description="Queues that it would consume, were they not paused.")
    versions: Versions
    load: list[float] = Field([], description="The host's load average over 1, 5 and 15 minutes.")
    memory_bytes: int | None = Field(
        None, description="Resident memory of it and its child processes; pages shared count twice."
    )


def write_worker(pipe: Any, worker: Worker, now_s: float) -> None:
    """Write all that a worker tells, and keep it for a day from now, by Redis's own clock."""
    told = worker.model_dump(mode="python")
    key = WORKER_PREFIX + worker.name
    # A field that an older version wrote must not stay.
    pipe.delete(key)
    pipe.hset(key, mapping={name: _dumped(value) for name, value in told.items()})
    pipe.expire(key, KEEP_S)
    pipe.zadd(WORKERS, {worker.name: now_s})
    pipe.zremrangebyscore(WORKERS, "-inf", now_s - 2 * KEEP_S)


def read_worker(fields: Mapping[bytes, bytes]) -> Worker | None:
    """Read a worker's hash; None where there is none, or it tells something else."""
    # Every value is JSON, so all of them are one object of JSON, which pydantic reads at once.
    pairs = (json.dumps(k.decode(errors="replace")).encode() + b":" + v for k, v in fields.items())
    try:
        return Worker.model_validate_json(b"{" + b",".join(pairs) + b"}")
    except ValidationError:
        return None


def _dumped(value: Any) -> str:
    return json.dumps(to_jsonable_python(value))
