"""The catalog by HTTP."""

from typing import Any

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, Field

from celeriac.catalog import TaskSpec
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import runs

TASKS = Tag(name="tasks", description="What can be run.")


class TaskPath(BaseModel):
    name: str = Field(description="The task's full name, such as `text.reverse`.")


class Retry(BaseModel):
    """How often a failed run is tried again."""

    automatic: bool
    max_retries: int | None
    delay_s: float
    backoff: bool


class Task(BaseModel):
    """One entry of the catalog."""

    name: str
    summary: str
    description: str
    warning: str | None = Field(description="Why its runs cannot succeed, if that is known.")
    queue: str
    retry: Retry
    time_limit_s: float | None
    soft_time_limit_s: float | None
    parameters: dict[str, Any] = Field(description="JSON Schema of `args`.")


class TaskList(BaseModel):
    """Every task, by name."""

    tasks: list[Task]


@api.get("/tasks", tags=[TASKS], responses={200: TaskList})
def list_tasks() -> Response:
    """List every task."""
    return answer(TaskList(tasks=[_task(spec) for spec in runs().catalog.tasks]))


@api.get("/tasks/<path:name>", tags=[TASKS], responses={200: Task})
def show_task(path: TaskPath) -> Response:
    """Show one task with the JSON Schema of its arguments."""
    return answer(_task(runs().catalog.get(path.name)))


def _task(spec: TaskSpec) -> Task:
    return Task(
        name=spec.name,
        summary=spec.summary,
        description=spec.description,
        warning=spec.warning,
        queue=spec.queue,
        retry=Retry(**vars(spec.retry)),
        time_limit_s=spec.time_limit_s,
        soft_time_limit_s=spec.soft_time_limit_s,
        parameters=spec.schema,
    )
