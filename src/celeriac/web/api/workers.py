"""The workers by HTTP: what each does, and what can be asked of one."""

from typing import Any

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, ConfigDict, Field, model_validator

from celeriac.runs import Worker
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import runs

WORKERS = Tag(name="workers", description="Who executes runs.")


class WorkerPath(BaseModel):
    name: str = Field(description="The worker's node name, such as `worker1@host`.")


class WorkerList(BaseModel):
    """Every worker that gave a sign of life within a day, by name."""

    workers: list[Worker]


class Resize(BaseModel):
    """By how much to grow or shrink."""

    model_config = ConfigDict(extra="forbid")

    by: int = Field(
        1, strict=True, ge=1, le=100, description="How many runs at once more, or fewer."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, body: Any) -> Any:
        return {} if body is None else body


@api.get("/workers", tags=[WORKERS], responses={200: WorkerList})
def list_workers() -> Response:
    """List the workers, those that are lost or have ended within a day included."""
    return answer(WorkerList(workers=runs().workers.all()))


@api.get("/workers/<path:name>", tags=[WORKERS], responses={200: Worker})
def show_worker(path: WorkerPath) -> Response:
    """Show one worker."""
    return answer(runs().workers.get(path.name))


@api.post("/workers/<path:name>/grow", tags=[WORKERS], responses={202: Worker})
def grow_worker(path: WorkerPath, body: Resize) -> Response:
    """Let a worker execute more runs at once, until it restarts."""
    runs().workers.grow(path.name, body.by)
    return answer(runs().workers.get(path.name), 202)


@api.post("/workers/<path:name>/shrink", tags=[WORKERS], responses={202: Worker})
def shrink_worker(path: WorkerPath, body: Resize) -> Response:
    """Let a worker execute fewer runs at once, until it restarts."""
    runs().workers.shrink(path.name, body.by)
    return answer(runs().workers.get(path.name), 202)


@api.post("/workers/<path:name>/shutdown", tags=[WORKERS], responses={202: Worker})
def shut_down_worker(path: WorkerPath) -> Response:
    """Tell a worker to finish what it executes and end."""
    runs().workers.shutdown(path.name)
    return answer(runs().workers.get(path.name), 202)
