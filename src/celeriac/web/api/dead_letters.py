"""Dead letters by HTTP: look at them, replay them, discard them."""

from typing import Any, Literal

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import LetterList, LetterSelection
from celeriac.web.api.blueprint import NDJSON, answer, api
from celeriac.web.api.progress import lines_of
from celeriac.web.context import runs

DEAD_LETTERS = Tag(
    name="dead letters", description="Messages that cannot be executed; they wait for a person."
)
_STREAM: dict[Any, Any] = {
    200: {
        "description": "Progress, one line at least every second.",
        "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/LetterProgress"}}},
    }
}


class LetterQuery(BaseModel):
    """Which letters are shown."""

    model_config = ConfigDict(extra="forbid")

    queue: str | None = Field(None, description="Letters of this queue.")
    group: str | None = Field(
        None, description="Letters of this group, by its name or how it begins."
    )


class Replay(LetterSelection):
    """The body of a replay."""

    rate: float | None = Field(
        None, gt=0, le=100_000, allow_inf_nan=False, description="At most so many a second."
    )


class Discard(LetterSelection):
    """The body of a discard."""

    confirm: Literal["discard"] | None = Field(
        None, description="The word `discard`: what is discarded is gone."
    )


@api.get("/dead-letters", tags=[DEAD_LETTERS], responses={200: LetterList})
def list_dead_letters(query: LetterQuery) -> Response:
    """List the oldest 200 dead letters of each queue, in groups that died of the same too."""
    return answer(runs().dead_letters.find(query.queue, query.group))


@api.post("/dead-letters/replay", tags=[DEAD_LETTERS], responses=_STREAM)
def replay_dead_letters(body: Replay) -> Response:
    """Publish letters again; each is removed when the broker has its message.

    Closing the connection stops it; what was replayed stays replayed.
    """
    return lines_of(runs().dead_letters.replay(body, body.rate))


@api.post("/dead-letters/sign", tags=[DEAD_LETTERS], responses=_STREAM)
def sign_dead_letters(body: LetterSelection) -> Response:
    """Replay letters whose signature is missing or wrong, each signed anew.

    Signing says that you have looked at the letter and that a worker shall execute it. So letters
    are named one by one, with `ids`.
    """
    return lines_of(runs().dead_letters.sign(body))


@api.post("/dead-letters/discard", tags=[DEAD_LETTERS], responses=_STREAM)
def discard_dead_letters(body: Discard) -> Response:
    """Remove letters for good; their runs stay dead in the history."""
    if body.confirm is None:
        detail = 'What is discarded is gone. Send "confirm": "discard".'
        raise InvalidInputError([FieldProblem("/confirm", detail)])
    return lines_of(runs().dead_letters.discard(body))
