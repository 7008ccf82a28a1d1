"""Submitting, listing, showing and cancelling runs by HTTP."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response, request, url_for
from flask_openapi import Tag
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from werkzeug.http import parse_dict_header

from celeriac.errors import RunNotFoundError, TransientError
from celeriac.runs import Outcome, Run, RunList, SubmitOptions
from celeriac.web.api.blueprint import answer, api
from celeriac.web.api.idempotency import REPLAYED, requested_key
from celeriac.web.api.run_words import RunPath, RunWords
from celeriac.web.api.tasks import TaskPath
from celeriac.web.context import runs, settings
from celeriac.web.gateway import answer_later
from celeriac.web.run_query import requested_runs

RUNS = Tag(name="runs", description="What was submitted, and how it went.")


class Submission(BaseModel):
    """The body of a submission."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, body: Any) -> Any:
        return {} if body is None else body

    args: dict[str, JsonValue] = Field({}, description="The task's arguments by name.")
    options: SubmitOptions = Field(SubmitOptions(), description="When and where to run it.")


class Resubmission(Submission):
    """The body of a resubmission, if it has one."""

    args: dict[str, JsonValue] | None = Field(  # type: ignore[assignment]
        None, description="All arguments by name; those of the old run where they are absent."
    )
    options: SubmitOptions = Field(
        SubmitOptions(), description="The old run's queue, priority and tags unless given here."
    )


@api.post("/tasks/<path:name>/runs", tags=[RUNS], responses={202: Run, 200: Run})
def submit(path: TaskPath, body: Submission) -> Response:
    """Submit a run.

    202 means that the broker has the message. With `Prefer: wait=N` the answer is 200 with the
    finished run when it ends within N seconds.
    """
    if (key := requested_key()) is None:
        return _answered(Outcome(runs().submit(path.name, body.args, body.options)))
    return _answered(runs().once.submit(key, path.name, body.args, body.options))


class RunQuery(RunWords):
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, description="Where the page before ended.")


@api.get("/runs", tags=[RUNS], responses={200: RunList})
def list_runs(query: RunQuery) -> Response:
    """List runs from the history, newest first."""
    return answer(runs().history.find(requested_runs(), query.cursor, query.limit))


@api.get("/runs/<run_id>", tags=[RUNS], responses={200: Run})
def show_run(path: RunPath) -> Response:
    """Show a run; with `Prefer: wait=N`, as soon as it ends, or after N seconds."""
    return _after_waiting(runs().get(path.run_id), answer)


class CancelQuery(BaseModel):
    foreign: bool = Field(
        False, description="Another Celery client has submitted it; it may be unknown as yet."
    )


@api.post("/runs/<run_id>/cancel", tags=[RUNS], responses={202: Run})
def cancel(path: RunPath, query: CancelQuery) -> Response:
    """Cancel a run: it is dropped if it waits and ended if it executes."""
    return answer(runs().cancel(path.run_id, foreign=query.foreign), 202)


@api.post("/runs/<run_id>/resubmit", tags=[RUNS], responses={202: Run, 200: Run})
def resubmit(path: RunPath, body: Resubmission) -> Response:
    """Submit a new run with the same input, or with what the body has instead.

    The answers are those of a submission.
    """
    if (key := requested_key()) is None:
        return _answered(Outcome(runs().resubmit(path.run_id, body.args, body.options)))
    return _answered(runs().once.resubmit(key, path.run_id, body.args, body.options))


def _after_waiting(run: Run, shown: Callable[[Run], Response]) -> Response:
    """Answer at once, or when the run ends or the time is over that the client prefers to wait."""
    wait_s = _preferred_wait_s()
    if run.state.finished or not wait_s:
        return shown(run)

    def newest() -> Response:
        try:
            return shown(runs().get(run.id))
        except (TransientError, RunNotFoundError):
            return shown(run)  # What was accepted stays accepted.

    return answer_later(newest, until=partial(runs().ended, run.id, wait_s))


def _answered(outcome: Outcome) -> Response:
    return _after_waiting(outcome.run, partial(_submitted, is_replay=outcome.is_replay))


def _submitted(run: Run, *, is_replay: bool) -> Response:
    finished = run.state.finished
    response = answer(run, 200 if finished else 202)
    response.headers["Location"] = url_for("api.show_run", run_id=run.id)
    if not finished:
        response.headers["Retry-After"] = "1"
    if is_replay:
        response.headers[REPLAYED] = "true"
    return response


def _preferred_wait_s() -> int:
    wait = parse_dict_header(request.headers.get("Prefer", "")).get("wait")
    return min(int(wait[:9]), settings().max_wait_s) if wait and wait.isdecimal() else 0
