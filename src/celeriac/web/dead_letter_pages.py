"""The page of dead letters: what they died of, replay and discard."""

from collections.abc import Iterator
from dataclasses import dataclass

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
from celeriac.web.context import runs
from celeriac.web.shown import Shown, shown

dead_letters = Blueprint("dead_letters", __name__)

CONFIRMATION = "discard"


@dataclass(frozen=True)
class LetterView:
    """A letter with its message as it is drawn."""

    letter: Letter
    message: Shown
    headers: Shown


@dataclass(frozen=True)
class GroupView:
    """A group with those of its letters that are shown."""

    group: LetterGroup
    letters: list[LetterView]


@dead_letters.get("/dead-letters")
def show() -> Response:
    """Show the dead letters by what they died of."""
    queue = request.args.get("queue") or None
    found = runs().dead_letters.find(queue)
    page = render_template(
        "dead_letters.html",
        views=list(_views(found)),
        found=found,
        queue=queue,
        left=found.total - len(found.letters),
    )
    response = make_response(page)
    response.headers["Cache-Control"] = "no-store"
    return response


@dead_letters.post("/dead-letters/replay")
def replay() -> BaseResponse:
    """Publish one letter, a group, or all of them again."""
    progress = runs().dead_letters.replay(_selection(), _rate())
    return _done(progress, "replayed")


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
    return _done(runs().dead_letters.discard(_selection()), "discarded")


def _views(found: LetterList) -> Iterator[GroupView]:
    for group in found.groups:
        letters = [each for each in found.letters if each.group == group.group]
        yield GroupView(group, [_view(letter) for letter in letters])


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


def _done(progress: Iterator[LetterProgress], word: str) -> BaseResponse:
    *_, last = progress
    stopped = f" Then it stopped: {last.stopped}" if last.stopped else ""
    words = f"{last.done:,} {'letter was' if last.done == 1 else 'letters were'} {word}."
    flash(f"{words}{_said_of_unsigned(last.unsigned)}{stopped}")
    return redirect(url_for("dead_letters.show"), 303)
