"""A task's page: its form with what a person, or an earlier run, has put into it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from flask import render_template, request

from celeriac.catalog import TaskSpec
from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FieldProblem,
    InvalidInputError,
    RunNotFoundError,
    TransientError,
)
from celeriac.marks import hides
from celeriac.runs import Run, SubmitOptions, missing, still_missing, without_marks
from celeriac.web.context import guard, runs, settings
from celeriac.web.forms import fields_of, parse_form, placed_problems, unusable
from celeriac.web.snippets import Snippet, snippets_of

Page = tuple[str, int]
CARRIED_OVER: Final = ("queue", "priority", "tags")


@dataclass(frozen=True)
class Submission:
    """What a person has put into a task's form so far.

    `resubmit_of` is the run that it began with.
    """

    args: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[FieldProblem, ...] = ()
    failure: CeleriacError | None = None
    notice: str = ""
    resubmit_of: str = ""

    def refused(self, spec: TaskSpec, error: InvalidInputError | TransientError) -> Self:
        """Give the same with why it was not submitted."""
        if isinstance(error, InvalidInputError):
            return replace(self, problems=_all_problems(spec, self, error))
        return replace(self, failure=error)

    @property
    def status(self) -> int:
        """Give the status of the page that shows it."""
        return 503 if self.failure else 422 if self.problems else 200


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


def submission(spec: TaskSpec) -> Submission:
    """Read the form that was sent."""
    args = parse_form(spec.schema, request.form)
    options = parse_form(OPTIONS_SCHEMA, request.form, prefix="options")
    problems = (*unusable(args, "/args"), *unusable(options, "/options"))
    return Submission(args, options, problems, resubmit_of=request.form.get("resubmit_of", ""))


def earlier_input(spec: TaskSpec, run_id: str | None) -> Submission:
    """Give the input of an earlier run, to be edited; one of this very task stays linked to it."""
    if not run_id:
        return Submission()
    try:
        earlier = runs().get(run_id)
    except (RunNotFoundError, TransientError) as error:
        return Submission(notice=f"The input of that run cannot be read: {error}")
    args = earlier.args if isinstance(earlier.args, dict) else {}
    notice = "Filled with the input of an earlier run."
    if earlier.args is None:
        notice = "The input of the earlier run is not known; give it anew."
    link = run_id if earlier.task == spec.name else ""
    return Submission(args, _options_of(earlier, spec), notice=notice, resubmit_of=link)


def completed(given: Submission, earlier: Run) -> Submission:
    """Refuse a form in which a value that the earlier run's record does not hold is left blank.

    Its default would be another value than the one that the person meant to submit again.
    """
    args = still_missing(dict(given.args), earlier.args)
    assert isinstance(args, dict)
    return replace(given, args=args, problems=(*given.problems, *missing(args)))


def task_page(spec: TaskSpec, given: Submission) -> Page:
    """Draw the page; its status tells whether something is wrong."""
    asked = missing(dict(given.args))
    shown = {problem.pointer for problem in given.problems}
    problems = (*given.problems, *(each for each in asked if each.pointer not in shown))
    fields = fields_of(spec.schema, given.args, problems, hidden=_hidden(spec))
    options = fields_of(OPTIONS_SCHEMA, given.options, given.problems, prefix="options")
    page = render_template(
        "task.html",
        spec=spec,
        given=given,
        fields=fields,
        options=options,
        problems=placed_problems([*fields, *options], given.problems),
        asked=[f for _, f in placed_problems(fields, asked) if f],
        options_open=bool(given.options)
        or any(p.pointer.startswith("/options") for p in given.problems),
        nothing_submitted=isinstance(given.failure, BrokerUnavailableError),
        snippets=snippets_for(spec, given),
    )
    return page, given.status


def snippets_for(spec: TaskSpec, given: Submission) -> list[Snippet]:
    """Write the same submission by other means."""
    args = without_marks(dict(given.args))
    assert isinstance(args, dict)
    return snippets_of(spec, args, given.options, request.url_root, with_token=guard() is not None)


def _hidden(spec: TaskSpec) -> Callable[[str], bool]:
    """Tell which arguments nobody shall read over a shoulder: those that no record holds."""
    by_setting = hides(settings().redacted_names)
    return lambda name: name in spec.secrets or by_setting(name)


def _options_of(earlier: Run, spec: TaskSpec) -> dict[str, Any]:
    """Give the earlier run's options, as far as they are not what a run has anyway."""
    found = {name: getattr(earlier, name) for name in CARRIED_OVER}
    usual: dict[str, Any] = {"queue": spec.queue, "tags": []}
    return {n: value for n, value in found.items() if value not in (None, usual.get(n))}


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
