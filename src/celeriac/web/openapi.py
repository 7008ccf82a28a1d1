"""The OpenAPI 3.1 document: what the views declare, and one operation for each task."""

import math
import re
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, current_app, render_template
from flask_openapi import OpenAPI
from pydantic import BaseModel
from pydantic_core import to_json

from celeriac.catalog import ArgumentsSchema, TaskSpec
from celeriac.runs import BatchLine, BulkProgress, LetterProgress, Run, SubmitOptions
from celeriac.web.api.bulk import BulkCount
from celeriac.web.context import runs

REF = "#/components/schemas/"
SUBMIT_PATH = "/api/v1/tasks/{name}/runs"
WAITING_PATHS = (SUBMIT_PATH, "/api/v1/runs/{run_id}", "/api/v1/runs/{run_id}/resubmit")
"""Whose answer may come when the run has ended."""
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N` waits up to N seconds for the run's end (RFC 7240).",
    "schema": {"type": "string", "pattern": r"^wait=\d+$"},
    "example": "wait=10",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A text in quotes, new for each submission: sending the same again under the "
    "same key answers with the first run, and submits no other.",
    "schema": {"type": "string"},
    "example": '"5b3c8a1e-0f4d-4c55-9d0a-6a2b7e1f3c90"',
}
KEYED_PATHS = (SUBMIT_PATH, "/api/v1/runs/{run_id}/resubmit")
BATCH_PATH = "/api/v1/runs/batch"
NDJSON = "application/x-ndjson"
PROBLEM = "Problem"
EXTENSION = "celeriac.openapi"
"""Where an app keeps its document: neither its views nor its catalog change while it runs."""

docs = Blueprint("docs", __name__)


class FieldError(BaseModel):
    """One value that does not fit."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457).

    `errors` names each field of a 422, `near` the tasks that may have been meant, `run_id` the
    run that an unconfirmed submission would be. Problems of lines have no `instance`.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str | None = None
    errors: list[FieldError] = []
    near: list[str] = []
    run_id: str | None = None


class BatchAnswer(BaseModel):
    """What has become of one line of a batch: a run's identifier, or what was wrong."""

    line: int
    id: str | None = None
    problem: Problem | None = None


@docs.get("/openapi.json")
def openapi_json() -> Response:
    """Give the document."""
    kept = current_app.extensions
    if EXTENSION not in kept:
        found = document(current_app, runs().catalog.tasks)  # type: ignore[arg-type]
        # An infinite number deep inside a default becomes null; JSON cannot say it.
        kept[EXTENSION] = to_json(found, inf_nan_mode="null")
    return Response(kept[EXTENSION], mimetype="application/json")


@docs.get("/docs")
def browse() -> str:
    """Show the document as a page."""
    return render_template("docs.html")


def document(app: OpenAPI, tasks: list[TaskSpec]) -> dict[str, Any]:
    """Build the document; a task's own path stands beside the general one with its exact schema."""
    found = dict(app.api_doc)
    paths = {path: _with_problems(path, item) for path, item in found["paths"].items()}
    # Whether a body is needed depends on the task.
    paths[SUBMIT_PATH]["post"]["requestBody"]["required"] = False
    paths |= {SUBMIT_PATH.format(name=quote(t.name, safe="")): _operation(t) for t in tasks}
    paths[BATCH_PATH]["post"] |= _batch_bodies()
    schemas = _schemas(BatchLine) | _schemas(BatchAnswer)
    schemas |= _schemas(Problem) | _schemas(SubmitOptions) | _schemas(Run)
    schemas |= _schemas(BulkProgress) | _schemas(BulkCount) | _schemas(LetterProgress)
    for task in tasks:
        schemas |= _schemas_of_task(task)
    components = found["components"] | {"schemas": found["components"]["schemas"] | schemas}
    return found | {"paths": paths, "components": components}


def _operation(task: TaskSpec) -> dict[str, Any]:
    needed = bool(task.schema.get("required"))
    body: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "args": {"$ref": REF + _component(task)},
            "options": {"$ref": REF + "SubmitOptions"},
        },
    }
    if needed:
        body["required"] = ["args"]
    operation = {
        "operationId": f"submit.{escaped(task.name)}",
        "summary": task.summary or f"Submit {task.name}",
        "description": "\n\n".join(filter(None, [task.warning, task.description])),
        "tags": ["submit"],
        "requestBody": {"required": needed, "content": {"application/json": {"schema": body}}},
        "responses": {status: _run_response(text) for status, text in _OUTCOMES.items()},
    }
    return _with_problems(SUBMIT_PATH, {"post": operation})


def _batch_bodies() -> dict[str, Any]:
    """Say what one line of a batch is, and one of its answer."""
    responses = {"200": {"description": "An answer for each line, in order."} | _lines(BatchAnswer)}
    default = {"default": _PROBLEM_RESPONSE}
    return {"requestBody": {"required": True} | _lines(BatchLine), "responses": responses | default}


def _lines(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {NDJSON: {"schema": {"$ref": REF + model.__name__}}}}


_PROBLEM_RESPONSE = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": {"$ref": REF + PROBLEM}}},
}
_OUTCOMES = {"200": "The run ended within the time to wait.", "202": "The broker has the run."}


def _run_response(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": REF + "Run"}}}}


def _with_problems(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """Let every operation answer errors as problems, and those on runs take `Prefer`."""
    changed = {}
    for method, operation in item.items():
        responses = {s: r for s, r in operation["responses"].items() if s != "422"}
        parameters = list(operation.get("parameters", []))
        if path in WAITING_PATHS:
            parameters.append(PREFER)
        if path in KEYED_PATHS:
            parameters.append(IDEMPOTENCY_KEY)
        responses["default"] = _PROBLEM_RESPONSE
        changed[method] = operation | {"responses": responses, "parameters": parameters}
    return changed


def escaped(task_name: str) -> str:
    """Write a task's name so that components and operations may be named after it.

    What such a name may not hold becomes its code point between dashes, as does the dash itself, so
    no two tasks get one name, and each gets the same at every start.
    """
    return re.sub(r"[^A-Za-z0-9._]", lambda c: f"-{ord(c.group()):x}-", task_name)


def _component(task: TaskSpec) -> str:
    return f"task.{escaped(task.name)}"


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    return _lifted(model.__name__, model.model_json_schema(ref_template=REF + "{model}"))


def _schemas_of_task(task: TaskSpec) -> dict[str, Any]:
    """Two tasks may have types of one name, so each task's definitions carry the task's name.

    Two dashes cannot follow a name that `escaped` has written, so they tell where it ends.
    """
    name = _component(task)
    schema = _finite(
        task.model.model_json_schema(
            ref_template=f"{REF}{name}--{{model}}", schema_generator=ArgumentsSchema
        )
    )
    definitions = schema.pop("$defs", {})
    return {name: schema} | {f"{name}--{n}": d for n, d in definitions.items()}


def _finite(schema: Any) -> Any:
    """Leave out defaults that JSON cannot say, such as infinity."""
    if isinstance(schema, list):
        return [_finite(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _finite(v) for k, v in schema.items() if not (k == "default" and _is_odd(v))}


def _is_odd(default: Any) -> bool:
    return isinstance(default, float) and not math.isfinite(default)


def _lifted(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    definitions: dict[str, Any] = schema.pop("$defs", {})
    return {name: schema} | definitions
