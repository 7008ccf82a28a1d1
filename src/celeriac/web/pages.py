"""The pages that people see: the catalog, and a task with its form."""

from contextlib import suppress
from typing import Any

from flask import (
    Blueprint,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from celeriac.errors import (
    InvalidInputError,
    RunNotFoundError,
    TransientError,
)
from celeriac.runs import Run, SubmitOptions
from celeriac.web.catalog_view import groups_of
from celeriac.web.context import runs
from celeriac.web.look import RAIL, short_id
from celeriac.web.task_form import (
    Page,
    Submission,
    completed,
    earlier_input,
    snippets_for,
    submission,
    task_page,
)

pages = Blueprint("pages", __name__)


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
    """Show a task and its form, filled with an earlier run's input if `from` names one."""
    spec = runs().catalog.get(name)
    return task_page(spec, earlier_input(spec, request.args.get("from")))


@pages.post("/tasks/<path:name>/snippets")
def snippets(name: str) -> str:
    """Write the form's content as snippets again, while a person types."""
    spec = runs().catalog.get(name)
    return render_template("snippets.html", snippets=snippets_for(spec, submission(spec)))


@pages.get("/tasks/<path:name>/runs")
def form_again(name: str) -> BaseResponse:
    """Lead whoever reloads a form that was refused back to the form."""
    return redirect(url_for("pages.task", name=name))


@pages.post("/tasks/<path:name>/runs")
def submit(name: str) -> BaseResponse | Page:
    """Submit the form and go to the run; otherwise show the form again with what is wrong."""
    spec = runs().catalog.get(name)
    given = submission(spec)
    if given.problems:
        return task_page(spec, given)
    try:
        if earlier := _earlier(given.resubmit_of, name):
            given = completed(given, earlier)
            if given.problems:
                return task_page(spec, given)
        run = _submit(name, given, earlier)
        if spec.warning:
            flash(spec.warning)
    except (InvalidInputError, TransientError) as error:
        return task_page(spec, given.refused(spec, error))
    return redirect(url_for("pages.run", run_id=run.id), 303)


def _submit(name: str, given: Submission, earlier: Run | None) -> Run:
    if earlier:
        # What the form leaves blank is not to be taken from the earlier run.
        options = SubmitOptions.of({"queue": None, "priority": None, "tags": [], **given.options})
        with suppress(RunNotFoundError):
            run = runs().resubmit(given.resubmit_of, given.args, options)
            _tell_of_resubmission(given.resubmit_of, "was made from")
            return run
    return runs().submit(name, given.args, SubmitOptions.of(given.options))


def _earlier(run_id: str, name: str) -> Run | None:
    """Give the run if it is one of this task: the page's task is what a person submits."""
    if run_id:
        with suppress(RunNotFoundError):
            found = runs().get(run_id)
            return found if found.task == name else None
    return None


@pages.post("/runs/<run_id>/resubmit")
def resubmit(run_id: str) -> BaseResponse | Page:
    """Submit a run like this one and go to it; what cannot be taken over is asked for."""
    try:
        run = runs().resubmit(run_id)
    except InvalidInputError as error:
        earlier = runs().get(run_id)
        spec = runs().catalog.get(earlier.task or "")
        return task_page(spec, earlier_input(spec, run_id).refused(spec, error))
    _tell_of_resubmission(run_id, "has the input of")
    return redirect(url_for("pages.run", run_id=run.id), 303)


def _tell_of_resubmission(run_id: str, words: str) -> None:
    link = Markup('<a href="{}">{}</a>').format(
        url_for("pages.run", run_id=run_id), short_id(run_id)
    )
    flash(Markup("This run {} {}.").format(words, link))
