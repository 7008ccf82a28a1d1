"""Cancelling and resubmitting from the list without scripts: a question, then the summary.

With scripts the page asks in a dialog and calls the API, which tells how far it is meanwhile.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Self

from flask import abort, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from celeriac.runs import BulkProgress, RunCount, RunFilter, Runs, run_filter
from celeriac.web.access.gate import watched
from celeriac.web.context import runs
from celeriac.web.gateway import answer_later
from celeriac.web.run_list.address import Query
from celeriac.web.run_list.blueprint import run_list
from celeriac.web.run_list.filter_bar import chips_of

TYPED_ABOVE: Final = 100
"""How many runs may be touched without typing their number."""
MAY_GROW: Final = 1.1
"""By how much the runs may have become more since a person was told their number."""


@dataclass(frozen=True)
class Action:
    """What can be done with many runs: its words, for pages with scripts and without."""

    name: str
    verb: str
    doing: str
    done: str
    keep: str
    none: str
    advice: str


ACTIONS: Final = {
    "cancel": Action(
        "cancel",
        "Cancel",
        "Cancelling",
        "Cancelled",
        "Keep them",
        "All of these runs have ended.",
        "Those that wait are dropped, those that execute are ended. This cannot be undone.",
    ),
    "resubmit": Action(
        "resubmit",
        "Resubmit",
        "Resubmitting",
        "Resubmitted",
        "Not now",
        "None of these runs has failed or was revoked.",
        "Each becomes a new run with the same input. What was resubmitted before is skipped.",
    ),
}


@dataclass(frozen=True)
class Request:
    """What a form asks for."""

    action: Action
    query: Query
    ids: tuple[str, ...] = ()
    counted: int = 0
    typed: str = ""

    @classmethod
    def of(cls, form: MultiDict[str, str]) -> Self:
        """Read a form; answers 400 where it asks for no action, or marks runs and names none."""
        action = ACTIONS.get(form.get("action", ""))
        if action is None:
            abort(400, "The form asks for no action that there is.")
        ids = tuple(dict.fromkeys(filter(None, form.getlist("ids"))))
        if "ids" in form and not ids:
            abort(400, "The form marks runs, and names none of them.")
        counted = form.get("counted", 0, type=int)
        return cls(action, Query.of(form), ids, counted, _digits(form.get("typed", "")))

    def wanted(self) -> RunFilter:
        """Give the runs that are meant: those that were marked, or else all that match.

        Raises:
            InvalidInputError: the filter makes no sense.
        """
        return run_filter({"ids": self.ids} if self.ids else self.query.lists())

    def count(self, source: Runs) -> RunCount:
        """Count the runs that would be touched."""
        bulk = source.bulk
        count = bulk.count_to_cancel if self.action.name == "cancel" else bulk.count_to_resubmit
        # Without marks the page says that all are meant, and asks for their number.
        return count(self.wanted(), every=not self.ids)

    @property
    def is_typed(self) -> bool:
        """Tell whether the number that the question stated was typed, if it asked for that."""
        return self.counted <= TYPED_ABOVE or self.typed == str(self.counted)

    def has_grown(self, found: RunCount) -> bool:
        """Tell whether far more runs would be touched now than the question stated."""
        return found.total > max(TYPED_ABOVE, self.counted * MAY_GROW)

    def act(self, source: Runs) -> BulkProgress:
        """Do it, all of it, as long as whoever asks may; gives how it ended."""
        bulk = source.bulk
        act = bulk.cancel if self.action.name == "cancel" else bulk.resubmit
        (last,) = deque(watched(act(self.wanted(), every=not self.ids)), maxlen=1)
        return last


@run_list.get("/runs/actions")
def actions_again() -> Response:
    """Lead whoever comes back without a form to the list."""
    return redirect(url_for("run_list.show"))


@run_list.post("/runs/actions")
def act() -> Response | str | tuple[str, int]:
    """Ask whether it is meant; do it when a form comes back that says so."""
    asked = Request.of(request.form)
    source = runs()
    found = asked.count(source)
    if "confirmed" not in request.form:
        return _question(asked, found)
    if not asked.is_typed or asked.has_grown(found):
        return _question(asked, found, is_wrong=True), 422
    return answer_later(lambda: _summary(asked, asked.act(source)))


def _question(asked: Request, found: RunCount, *, is_wrong: bool = False) -> str:
    return _drawn(asked, found=found, is_wrong=is_wrong)


def _summary(asked: Request, last: BulkProgress) -> str:
    return _drawn(asked, last=last)


def _drawn(asked: Request, **more: Any) -> str:
    chips = tuple(chips_of(asked.query))
    return render_template(
        "runs_action.html", asked=asked, chips=chips, typed_above=TYPED_ABOVE, **more
    )


def _digits(typed: str) -> str:
    return "".join(char for char in typed if char.isdigit())
