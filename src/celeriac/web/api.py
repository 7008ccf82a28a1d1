"""The HTTP API, version 1."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response, request, url_for
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticSerializationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.http import parse_dict_header

from celeriac.catalog import TaskSpec
from celeriac.errors import ResultsUnavailableError
from celeriac.runs import Run, RunList, RunState, SubmitOptions
from celeriac.web.context import runs, settings
from celeriac.web.gateway import answer_later
from celeriac.web.run_query import requested_runs

TASKS = Tag(name="tasks", description="What can be run.")
RUNS = Tag(name="runs", description="What was submitted, and how it went.")
JSON = "application/json"

api = APIBlueprint("api", __name__, url_prefix="/api/v1")


class TaskPath(BaseModel):
    name: str = Field(description="The task's full name, such as `text.reverse`.")


class RunPath(BaseModel):
    run_id: str = Field(description="The run's identifier.")


class Submission(BaseModel):
    """The body of a submission."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, body: Any) -> Any:
        return {} if body is None else body

    args: dict[str, JsonValue] = Field({}, description="The task's arguments by name.")
    options: SubmitOptions = Field(SubmitOptions(), description="When and where to run it.")


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
    queue: str
    retry: Retry
    time_limit_s: float | None
    soft_time_limit_s: float | None
    parameters: dict[str, Any] = Field(description="JSON Schema of `args`.")


class TaskList(BaseModel):
    """Every task, by name."""

    tasks: list[Task]


@api.before_request
def _only_json() -> None:
    """Refuse a body of another type (415) or one that is no JSON (400) before anything reads it."""
    if request.content_length or request.headers.get("Transfer-Encoding"):
        if request.mimetype != JSON:
            raise UnsupportedMediaType(f"Send the body as {JSON}.")
        try:
            request.get_json()
        except BadRequest as error:
            reason = getattr(error.__cause__, "description", error.description)
            raise BadRequest(f"The body is no JSON. {reason}") from None


@api.get("/tasks", tags=[TASKS], responses={200: TaskList})
def list_tasks() -> Response:
    """List every task."""
    return _answer(TaskList(tasks=[_task(spec) for spec in runs().catalog.tasks]))


@api.get("/tasks/<path:name>", tags=[TASKS], responses={200: Task})
def show_task(path: TaskPath) -> Response:
    """Show one task with the JSON Schema of its arguments."""
    return _answer(_task(runs().catalog.get(path.name)))


@api.post("/tasks/<path:name>/runs", tags=[RUNS], responses={202: Run, 200: Run})
def submit(path: TaskPath, body: Submission) -> Response:
    """Submit a run.

    202 means that the broker has the message. With `Prefer: wait=N` the answer is 200 with the
    finished run when it ends within N seconds.
    """
    run = runs().submit(path.name, body.args, body.options)
    return _after_waiting(run, _submitted)


class RunQuery(BaseModel):
    task: list[str] = Field([], description="Any of these tasks.")
    state: list[RunState] = Field([], description="Any of these states.")
    tag: list[str] = Field([], description="All of these tags.")
    queue: str | None = None
    worker: str | None = None
    parent: str | None = Field(None, description="The run that started it.")
    root: str | None = Field(None, description="The run that all began with.")
    since: str | None = Field(None, description="An instant (RFC 3339) or an age such as `1h`.")
    until: str | None = Field(None, description="The same; excluded.")
    q: str | None = Field(
        None, description="Text in arguments, result or error; of 7 days without `since`."
    )
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, description="Where the page before ended.")


@api.get("/runs", tags=[RUNS], responses={200: RunList})
def list_runs(query: RunQuery) -> Response:
    """List runs from the history, newest first."""
    return _answer(runs().find(requested_runs(), query.cursor, query.limit))


@api.get("/runs/<run_id>", tags=[RUNS], responses={200: Run})
def show_run(path: RunPath) -> Response:
    """Show a run; with `Prefer: wait=N`, as soon as it ends, or after N seconds."""
    return _after_waiting(runs().get(path.run_id), _answer)


@api.post("/runs/<run_id>/cancel", tags=[RUNS], responses={202: Run})
def cancel(path: RunPath) -> Response:
    """Cancel a run: it is dropped if it waits and ended if it executes."""
    return _answer(runs().cancel(path.run_id), 202)


def _after_waiting(run: Run, answer: Callable[[Run], Response]) -> Response:
    """Answer at once, or when the run ends or the time is over that the client prefers to wait."""
    wait_s = _preferred_wait_s()
    if run.state.finished or not wait_s:
        return answer(run)

    def newest() -> Response:
        try:
            return answer(runs().get(run.id))
        except ResultsUnavailableError:
            return answer(run)  # What was accepted stays accepted.

    return answer_later(newest, until=partial(runs().ended, run.id, wait_s))


def _submitted(run: Run) -> Response:
    finished = run.state.finished
    response = _answer(run, 200 if finished else 202)
    response.headers["Location"] = url_for("api.show_run", run_id=run.id)
    if not finished:
        response.headers["Retry-After"] = "1"
    return response


def _preferred_wait_s() -> int:
    wait = parse_dict_header(request.headers.get("Prefer", "")).get("wait")
    return min(int(wait[:9]), settings().max_wait_s) if wait and wait.isdecimal() else 0


def _task(spec: TaskSpec) -> Task:
    return Task(
        name=spec.name,
        summary=spec.summary,
        description=spec.description,
        queue=spec.queue,
        retry=Retry(**vars(spec.retry)),
        time_limit_s=spec.time_limit_s,
        soft_time_limit_s=spec.soft_time_limit_s,
        parameters=spec.schema,
    )


def _answer(body: BaseModel, status: int = 200) -> Response:
    try:
        text = body.model_dump_json()
    except PydanticSerializationError:  # Half of a surrogate pair, which only escapes can write.
        text = json.dumps(body.model_dump(mode="json"))
    return Response(text, status, mimetype=JSON)
