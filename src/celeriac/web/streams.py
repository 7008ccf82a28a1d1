"""Server-Sent Events: what happens to one run, or to all, as it happens."""

import re
from collections.abc import AsyncGenerator
from functools import partial

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from celeriac.events import Event
from celeriac.runs import Run, Runs
from celeriac.web.context import runs
from celeriac.web.gateway import live_response

EVENTS = Tag(name="events", description="What happens to runs, as it happens (Server-Sent Events).")
RETRY_MS = 2000
ENTRY_ID = re.compile(r"\d{1,19}-\d{1,19}")
HEARTBEAT = b": still here\n\n"

streams = APIBlueprint("streams", __name__, url_prefix="/api/v1")


class RunPath(BaseModel):
    run_id: str = Field(description="The run's identifier.")


@streams.get("/events", tags=[EVENTS], responses={200: {"content": {"text/event-stream": {}}}})
def all_events() -> Response:
    """Stream the events of every run; resumes after `Last-Event-ID`."""
    return live_response(partial(_events, runs(), None, _last_event_id()))


@streams.get(
    "/runs/<run_id>/events",
    tags=[EVENTS],
    responses={200: {"content": {"text/event-stream": {}}}, 204: None},
)
def run_events(path: RunPath) -> Response:
    """Stream one run: first the run as it is, then each event, until it has ended.

    Resumes after `Last-Event-ID`; 204 means that nothing more will come.
    """
    after = _last_event_id()
    run = runs().get(path.run_id)
    if after and run.state.finished and not runs().has_events_after(run.id, after):
        return Response(status=204)
    return live_response(partial(_events, runs(), run.id, after))


async def _events(
    source: Runs, run_id: str | None, after: str | None
) -> AsyncGenerator[bytes, None]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    async for happened in source.listen(run_id, after):
        if isinstance(happened, Run):
            yield f"event: run\ndata: {happened.model_dump_json()}\n\n".encode()
        else:
            yield b"".join(map(_message, happened)) or HEARTBEAT


def _message(event: Event) -> bytes:
    fields = event.fields()
    data = f'{{"run":"{event.run_id}","at":"{fields["at"]}","data":{fields["data"]}}}'
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _last_event_id() -> str | None:
    given = request.headers.get("Last-Event-ID", "")
    return given if ENTRY_ID.fullmatch(given) else None
