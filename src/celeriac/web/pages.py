"""The pages that people see: the catalog, a task with its form, a run that updates itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from flask import (
    Blueprint,
    Response,
    copy_current_request_context,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from celeriac.catalog import TaskSpec
from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FieldProblem,
    InvalidInputError,
    ResultsUnavailableError,
    RunFinishedError,
    RunNotFoundError,
    TransientError,
)
from celeriac.runs import Runs, SubmitOptions
from celeriac.web.catalog_view import groups_of
from celeriac.web.context import runs
from celeriac.web.forms import fields_of, parse_form, placed_problems, unusable
from celeriac.web.gateway import live_response
from celeriac.web.look import RAIL
from celeriac.web.run_view import RunView
from celeriac.web.snippets import Snippet, snippets_of

Page = tuple[str, int]
BETWEEN_DRAWINGS_S = 0.1
HEARTBEAT = b": still here\n\n"

pages = Blueprint("pages", __name__)


@dataclass(frozen=True)
class Submission:
    """What a person has put into a task's form so far."""

    args: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[FieldProblem, ...] = ()
    failure: CeleriacError | None = None
    notice: str = ""


def _options_schema() -> dict[str, Any]:
    """Give the options as a form shows them; `expires` only in seconds."""
    schema = SubmitOptions.model_json_schema()
    schema["properties"]["expires"] = {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}],
        "default": None,
        "description": "Do not start later than this many seconds from now.",
    }
    schema["properties"]["eta"]["description"] = "Start not before this instant."
    return schema


OPTIONS_SCHEMA: Final = _options_schema()


@pages.get("/")
def home() -> str:
    """Show the catalog until there is an overview to show."""
    return tasks()


@pages.get("/tasks")
def tasks() -> str:
    """Show the catalog."""
    query = request.args.get("q", "")
    groups = groups_of(runs().catalog.tasks, query)
    return render_template("tasks.html", groups=groups, query=query)


@pages.get("/palette.json")
def palette() -> dict[str, Any]:
    """Give what the command palette offers."""
    return {
        "pages": [
            {"label": entry.label, "href": request.script_root + entry.path} for entry in RAIL
        ],
        "tasks": [
            {"label": t.name, "hint": t.summary, "href": url_for("pages.task", name=t.name)}
            for t in runs().catalog.tasks
        ],
        "run": url_for("pages.run", run_id="RUN"),
    }


@pages.get("/tasks/<path:name>")
def task(name: str) -> Page:
    """Show a task and its form, filled with an earlier run's arguments if `from` names one."""
    spec = runs().catalog.get(name)
    return _task_page(spec, _earlier_input(request.args.get("from")), 200)


@pages.post("/tasks/<path:name>/snippets")
def snippets(name: str) -> str:
    """Write the form's content as snippets again, while a person types."""
    spec = runs().catalog.get(name)
    return render_template("snippets.html", snippets=_snippets(spec, _submission(spec)))


@pages.get("/tasks/<path:name>/runs")
def form_again(name: str) -> BaseResponse:
    """Lead whoever reloads a form that was refused back to the form."""
    return redirect(url_for("pages.task", name=name))


@pages.post("/tasks/<path:name>/runs")
def submit(name: str) -> BaseResponse | Page:
    """Submit the form and go to the run; otherwise show the form again with what is wrong."""
    spec = runs().catalog.get(name)
    given = _submission(spec)
    if given.problems:
        return _task_page(spec, given, 422)
    try:
        run = runs().submit(name, given.args, SubmitOptions.of(given.options))
    except InvalidInputError as error:
        problems = _all_problems(spec, given, error)
        return _task_page(spec, Submission(given.args, given.options, problems), 422)
    except TransientError as error:
        return _task_page(spec, Submission(given.args, given.options, failure=error), 503)
    return redirect(url_for("pages.run", run_id=run.id), 303)


@pages.get("/runs/<run_id>")
def run(run_id: str) -> str:
    """Show a run."""
    return render_template("run.html", view=RunView(runs().get(run_id)))


@pages.get("/runs/<run_id>/live")
def live(run_id: str) -> Response:
    """Stream the run's live part after each change until it ends."""
    draw = copy_current_request_context(partial(_drawn, run_id))
    return live_response(partial(_live, runs(), run_id, draw))


@pages.post("/runs/<run_id>/cancel")
def cancel(run_id: str) -> BaseResponse | Page:
    """Cancel a run; one that has ended meanwhile just shows how it ended."""
    with suppress(RunFinishedError):
        runs().cancel(run_id)
    if "HX-Request" in request.headers:
        return "", 204  # The live part shows the change; an answer here might come after it.
    return redirect(url_for("pages.run", run_id=run_id), 303)


def _submission(spec: TaskSpec) -> Submission:
    args = parse_form(spec.schema, request.form)
    options = parse_form(OPTIONS_SCHEMA, request.form, prefix="options")
    problems = (*unusable(args, "/args"), *unusable(options, "/options"))
    return Submission(args, options, problems)


def _earlier_input(run_id: str | None) -> Submission:
    if not run_id:
        return Submission()
    try:
        earlier = runs().get(run_id)
    except (RunNotFoundError, ResultsUnavailableError) as error:
        return Submission(notice=f"The input of that run cannot be read: {error}")
    args = earlier.args if isinstance(earlier.args, dict) else {}
    return Submission(args, notice="Filled with the input of an earlier run.")


def _all_problems(
    spec: TaskSpec, given: Submission, error: InvalidInputError
) -> tuple[FieldProblem, ...]:
    """Add the arguments' problems to the options': both are checked, one after the other."""
    found = {problem: None for problem in error.problems}
    try:
        spec.call(given.args)
    except InvalidInputError as other:
        found = {problem: None for problem in other.problems} | found
    return tuple(found)


def _task_page(spec: TaskSpec, given: Submission, status: int) -> Page:
    fields = fields_of(spec.schema, given.args, given.problems)
    options = fields_of(OPTIONS_SCHEMA, given.options, given.problems, prefix="options")
    page = render_template(
        "task.html",
        spec=spec,
        given=given,
        fields=fields,
        options=options,
        problems=placed_problems([*fields, *options], given.problems),
        options_open=bool(given.options)
        or any(p.pointer.startswith("/options") for p in given.problems),
        nothing_submitted=isinstance(given.failure, BrokerUnavailableError),
        snippets=_snippets(spec, given),
    )
    return page, status


def _snippets(spec: TaskSpec, given: Submission) -> list[Snippet]:
    return snippets_of(spec, given.args, given.options, request.url_root)


def _drawn(run_id: str) -> str:
    return render_template("run_live.html", view=RunView(runs().get(run_id)))


async def _live(source: Runs, run_id: str, draw: Callable[[], str]) -> AsyncGenerator[bytes, None]:
    """Draw a run after each change, a few times a second at most, as server-sent events."""
    yield b"retry: 500\n\n"
    try:
        async with aclosing(source.listen(run_id)) as happenings:
            async for happened in happenings:
                yield _message(await asyncio.to_thread(draw)) if happened else HEARTBEAT
                await asyncio.sleep(BETWEEN_DRAWINGS_S)
            is_over = (await asyncio.to_thread(source.get, run_id)).state.finished
    except TransientError:
        yield b"event: unavailable\ndata: 1\n\n"
        return
    except RunNotFoundError:
        is_over = True
    if is_over:
        yield b"event: finished\ndata: 1\n\n"


def _message(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.replace("\r", "\n").split("\n"))
    return f"{lines}\n".encode()
