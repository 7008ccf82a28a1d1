"""The queues by HTTP: what waits in them, and holding one back or emptying it."""

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import Purged, Queue
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import runs

QUEUES = Tag(name="queues", description="Where messages wait for workers.")


class QueuePath(BaseModel):
    name: str = Field(description="The queue's name.")


class QueueList(BaseModel):
    """Every queue, by name."""

    queues: list[Queue]


class Purge(BaseModel):
    """What makes sure that nobody purges by mistake."""

    model_config = ConfigDict(extra="forbid")

    confirm: str = Field(description="The queue's name again.")
    most: int | None = Field(
        None,
        ge=1,
        strict=True,
        description="At most so many messages: what a call before has `left` and `kept`, to go on.",
    )


@api.get("/queues", tags=[QUEUES], responses={200: QueueList})
def list_queues() -> Response:
    """List the queues; what is not known while broker or Redis are away is null."""
    return answer(QueueList(queues=runs().queues.all()))


@api.get("/queues/<path:name>", tags=[QUEUES], responses={200: Queue})
def show_queue(path: QueuePath) -> Response:
    """Show one queue."""
    return answer(runs().queues.get(path.name))


@api.post("/queues/<path:name>/pause", tags=[QUEUES], responses={200: Queue})
def pause_queue(path: QueuePath) -> Response:
    """Let no worker take more from a queue until it is resumed; what was fetched is finished."""
    return answer(runs().queues.pause(path.name))


@api.post("/queues/<path:name>/resume", tags=[QUEUES], responses={200: Queue})
def resume_queue(path: QueuePath) -> Response:
    """Let workers consume a queue again."""
    return answer(runs().queues.resume(path.name))


@api.post("/queues/<path:name>/purge", tags=[QUEUES], responses={200: Purged})
def purge_queue(path: QueuePath, body: Purge) -> Response:
    """Drop what waits in a queue; the runs end as REVOKED. It stops after 15 seconds."""
    runs().queues.check(path.name)
    if body.confirm != path.name:
        detail = f"Repeat the queue's name, {path.name!r}, to confirm."
        raise InvalidInputError([FieldProblem("/confirm", detail)])
    return answer(runs().queues.purge(path.name, body.most))
