"""The page of dead letters: what they died of, replay and discard."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import (
    Blueprint,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import Letter, LetterGroup, LetterList, LetterProgress, LetterSelection
from celeriac.web.access.gate import watched
from celeriac.web.access.watching import Going
from celeriac.web.context import runs
from celeriac.web.gateway import answer_later
from celeriac.web.live_page import live_page
from celeriac.web.shown import Shown, shown

dead_letters = Blueprint("dead_letters", __name__)

CONFIRMATION = "discard"
GOES_ON_S = 20.0
"""How long one request of a form may act; the API tells how far it is."""
NOT_ALL = "A page acts for some seconds at a time. Ask again to go on."


@dataclass(frozen=True)
class LetterView:
    """A letter with its message as it is drawn."""

    letter: Letter
    message: Shown
    headers: Shown


@dataclass(frozen=True)
class Question:
    """What is asked before many letters are replayed: how many, and which."""

    title: str
    which: str


@dataclass(frozen=True)
class GroupView:
    """A group with those of its letters that are shown."""

    group: LetterGroup
    letters: list[LetterView]
    question: Question


@dead_letters.get("/dead-letters")
def show() -> Response:
    """Show the dead letters by what they died of; a page that is open gets only what changes."""
    queue = request.args.get("queue") or None
    found = runs().dead_letters.find(queue)
    return live_page(
        "dead_letters.html",
        "letters_live.html",
        views=list(_views(found)),
        found=found,
        queue=queue,
        left=found.total - len(found.letters),
        question=_question_of_all(found, queue),
        here=url_for("dead_letters.show", queue=queue),
    )


@dead_letters.get("/dead-letters/count.json")
def count() -> dict[str, Any]:
    """Tell pages that are open how many there are, from memory; null where nobody knows."""
    known = runs().dead_letters.known_counts
    return {"queues": known, "total": waiting()}


def waiting() -> int | None:
    """Give how many dead letters there are, as far as it is known without asking the broker."""
    known = runs().dead_letters.known_counts
    return None if known is None else sum(known.values())


@dead_letters.post("/dead-letters/replay")
def replay() -> BaseResponse:
    """Publish one letter again at once; ask before it is a group, or all of them."""
    selection, rate = _selection().check(), _rate()
    if selection.ids:
        return _done(runs().dead_letters.replay(selection), "replayed")
    if "confirmed" not in request.form:
        return _asked(selection)
    letters = runs().dead_letters
    return answer_later(lambda: _done(letters.replay(selection, rate), "replayed"))


@dead_letters.post("/dead-letters/sign")
def sign() -> BaseResponse:
    """Sign one letter anew and publish it again."""
    return _done(runs().dead_letters.sign(_selection()), "signed and replayed")


@dead_letters.post("/dead-letters/discard")
def discard() -> BaseResponse:
    """Remove one letter, a group, or all of them for good."""
    if request.form.get("confirm", "").strip() != CONFIRMATION:
        detail = f"Type {CONFIRMATION} to confirm: what is discarded is gone."
        raise InvalidInputError([FieldProblem("/confirm", detail)])
    letters, selection = runs().dead_letters, _selection()
    return answer_later(lambda: _done(letters.discard(selection), "discarded"))


def _asked(selection: LetterSelection) -> Response:
    found = runs().dead_letters.find(selection.queue, selection.group)
    question = _question_of_all(found, selection.queue)
    for group in found.groups:
        if selection.group == group.group:
            question = _question_of_group(group, found)
    page = render_template("letters_action.html", asked=question, selection=selection)
    return make_response(page)


def _question_of_all(found: LetterList, queue: str | None) -> Question:
    which = (
        f"All dead letters of the queue {queue}." if queue else "All dead letters, of every queue."
    )
    return Question(f"Replay {_letters(found.total)}?", which)


def _question_of_group(group: LetterGroup, found: LetterList) -> Question:
    are_all_shown = found.total == sum(each.count for each in found.groups)
    title = f"Replay {_letters(group.count)}{'' if are_all_shown else ' or more'}?"
    cause = group.error.type.rpartition(".")[2] if group.error else group.reason
    return Question(
        title, f"Those of {group.task or 'no task'} in the queue {group.queue} ({cause})."
    )


def _letters(count: int) -> str:
    return f"{count:,} {'letter' if count == 1 else 'letters'}"


def _views(found: LetterList) -> Iterator[GroupView]:
    for group in found.groups:
        letters = [each for each in found.letters if each.group == group.group]
        views = [_view(letter) for letter in letters]
        yield GroupView(group, views, _question_of_group(group, found))


def _view(letter: Letter) -> LetterView:
    message = letter.payload if letter.args is None else letter.args
    return LetterView(letter, shown(message), shown(letter.headers))


def _selection() -> LetterSelection:
    return LetterSelection(
        ids=request.form.getlist("id"),
        group=request.form.get("group"),
        queue=request.form.get("queue"),
        all=request.form.get("all") == "true",
    )


def _rate() -> float | None:
    """Read how many a second; an empty field is as fast as it goes.

    Raises:
        InvalidInputError: it is no number above 0.
    """
    text = request.form.get("rate", "").strip()
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = 0.0
    if rate is not None and not 0 < rate <= 100_000:
        raise InvalidInputError([FieldProblem("/rate", "Give a number of letters a second.")])
    return rate


def _said_of_unsigned(count: int) -> str:
    """Tell how many letters were not replayed, where there were any."""
    if not count:
        return ""
    left = "1 letter stays" if count == 1 else f"{count:,} letters stay"
    return f" {left}: without a right signature, an administrator must sign it first."


def _done(going: Going[LetterProgress], word: str) -> BaseResponse:
    last = _last_in_time(watched(going))
    stopped = f" Then it stopped: {last.stopped}" if last.stopped else ""
    words = f"{_letters(last.done)} {'was' if last.done == 1 else 'were'} {word}."
    flash(f"{words}{_said_of_unsigned(last.unsigned)}{stopped}")
    return redirect(url_for("dead_letters.show"), 303)


def _last_in_time(progress: Iterator[LetterProgress]) -> LetterProgress:
    """Act for as long as one request may; a stop in between leaves the rest as it is."""
    until_s = time.monotonic() + GOES_ON_S
    last = next(progress)
    for last in progress:
        if time.monotonic() > until_s and not (last.finished or last.stopped):
            return last.model_copy(update={"stopped": NOT_ALL})
    return last
