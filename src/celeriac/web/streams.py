"""Server-Sent Events: what happens to one run, or to all, as it happens."""

import json
import re
from collections.abc import AsyncGenerator
from functools import partial

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from celeriac.events import Event
from celeriac.runs import Run, Runs, json_of
from celeriac.web.api.parameters import refuse_unclear_query
from celeriac.web.api.run_words import RunPath
from celeriac.web.context import runs
from celeriac.web.gateway import live_response

EVENTS = Tag(name="events", description="What happens to runs, as it happens (Server-Sent Events).")
RETRY_MS = 2000
ENTRY_ID = re.compile(r"\d{1,19}-\d{1,19}")
HEARTBEAT = b": still here\n\n"
MOST_MESSAGES = 1024
"""How many messages are kept for those who get the same a moment later."""

_messages: dict[tuple[str, str | None], bytes] = {}

streams = APIBlueprint("streams", __name__, url_prefix="/api/v1")
streams.before_request(refuse_unclear_query)


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
    if after and run.state.finished and not runs().may_have_events_after(run.id, after):
        return Response(status=204)
    return live_response(partial(_events, runs(), run.id, after))


async def _events(
    source: Runs, run_id: str | None, after: str | None
) -> AsyncGenerator[bytes, None]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    async for happened in source.listen(run_id, after):
        if isinstance(happened, Run):
            yield f"event: run\ndata: {json_of(happened)}\n\n".encode()
        else:
            yield b"".join(map(_message, happened)) or HEARTBEAT


def _message(event: Event) -> bytes:
    """Write an event as it goes to everybody who listens: once, since a thousand may."""
    key = (event.run_id, event.id)
    if (made := _messages.get(key)) is None:
        if len(_messages) >= MOST_MESSAGES:
            _messages.clear()
        made = _messages[key] = _written(event)
    return made


def _written(event: Event) -> bytes:
    fields = event.fields()
    # Other Celery clients may choose any identifier, line breaks included.
    data = f'{{"run":{json.dumps(event.run_id)},"at":"{fields["at"]}","data":{fields["data"]}}}'
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _last_event_id() -> str | None:
    given = request.headers.get("Last-Event-ID", "")
    return given if ENTRY_ID.fullmatch(given) else None
