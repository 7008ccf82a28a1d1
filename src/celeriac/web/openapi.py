"""The OpenAPI 3.1 document: what the views declare, and one operation for each task."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template
from flask_openapi import OpenAPI
from pydantic import BaseModel

from celeriac.catalog import TaskSpec
from celeriac.runs import Run, SubmitOptions
from celeriac.web.context import runs

REF = "#/components/schemas/"
SUBMIT_PATH = "/api/v1/tasks/{name}/runs"
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N` waits up to N seconds for the run's end (RFC 7240).",
    "schema": {"type": "string", "pattern": r"^wait=\d+$"},
    "example": "wait=10",
}
PROBLEM = "Problem"

docs = Blueprint("docs", __name__)


class FieldError(BaseModel):
    """One value that does not fit."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457); `errors` names each field of a 422."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: list[FieldError] = []


@docs.get("/openapi.json")
def openapi_json() -> Response:
    """Give the document."""
    return jsonify(document(current_app, runs().catalog.tasks))  # type: ignore[arg-type]


@docs.get("/docs")
def browse() -> str:
    """Show the document as a page."""
    return render_template("docs.html")


def document(app: OpenAPI, tasks: list[TaskSpec]) -> dict[str, Any]:
    """Build the document; a task's own path stands beside the general one with its exact schema."""
    found = dict(app.api_doc)
    paths = {path: _with_problems(path, item) for path, item in found["paths"].items()}
    paths |= {SUBMIT_PATH.format(name=task.name): _operation(task) for task in tasks}
    schemas = _schemas(Problem) | _schemas(SubmitOptions) | _schemas(Run)
    for task in tasks:
        schemas |= _schemas_of_task(task)
    components = found["components"] | {"schemas": found["components"]["schemas"] | schemas}
    return found | {"paths": paths, "components": components}


def _operation(task: TaskSpec) -> dict[str, Any]:
    body = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "args": {"$ref": REF + _name(task)},
            "options": {"$ref": REF + "SubmitOptions"},
        },
    }
    if task.schema.get("required"):
        body["required"] = ["args"]
    operation = {
        "operationId": f"submit_{_name(task)}",
        "summary": task.summary or f"Submit {task.name}",
        "description": task.description,
        "tags": ["submit"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {status: _run_response(text) for status, text in _OUTCOMES.items()},
    }
    return _with_problems(SUBMIT_PATH, {"post": operation})


_OUTCOMES = {"200": "The run ended within the time to wait.", "202": "The broker has the run."}


def _run_response(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": REF + "Run"}}}}


def _with_problems(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """Let every operation answer errors as problems, and those on runs take `Prefer`."""
    changed = {}
    for method, operation in item.items():
        responses = {s: r for s, r in operation["responses"].items() if s != "422"}
        parameters = list(operation.get("parameters", []))
        if path in (SUBMIT_PATH, "/api/v1/runs/{run_id}"):
            parameters.append(PREFER)
        content = {"application/problem+json": {"schema": {"$ref": REF + PROBLEM}}}
        responses["default"] = {"description": "A problem.", "content": content}
        changed[method] = operation | {"responses": responses, "parameters": parameters}
    return changed


def _name(task: TaskSpec) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in task.name)


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    return _lifted(model.__name__, model.model_json_schema(ref_template=REF + "{model}"))


def _schemas_of_task(task: TaskSpec) -> dict[str, Any]:
    """Two tasks may have types of one name, so each task's definitions carry the task's name."""
    template = f"{REF}{_name(task)}.{{model}}"
    schema = task.model.model_json_schema(ref_template=template)
    definitions = schema.pop("$defs", {})
    return {_name(task): schema} | {f"{_name(task)}.{n}": d for n, d in definitions.items()}


def _lifted(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    definitions: dict[str, Any] = schema.pop("$defs", {})
    return {name: schema} | definitions
