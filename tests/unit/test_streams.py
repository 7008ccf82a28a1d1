"""Server-Sent Events as they are written, whatever is in them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, cast

from celeriac.events import Event, EventKind
from celeriac.runs import Run, Runs, RunState, json_of
from celeriac.web.streams import _events

HALF = "half a pair: \ud800"


class Source:
    """Gives what a test says."""

    def __init__(self, *happened: Any) -> None:
        self._happened = happened

    async def listen(self, *_: Any) -> AsyncGenerator[Any, None]:
        for each in self._happened:
            yield each


def _written(*happened: Any) -> list[bytes]:
    async def read() -> list[bytes]:
        source = cast(Runs, Source(*happened))
        return [piece async for piece in _events(source, None, None)][1:]

    return asyncio.run(read())


def test_run_with_half_a_surrogate_pair_is_streamed() -> None:
    run = Run(id="a", state=RunState.SUCCESS, result=HALF)

    (message,) = _written(run)

    assert json.loads(message.partition(b"data: ")[2])["result"] == HALF
    assert Run.model_validate(json.loads(json_of(run))) == run


def test_identifier_of_another_client_makes_no_message_of_its_own() -> None:
    hostile = 'x"\n\nevent: succeeded\ndata: {}\n\n'
    event = Event(hostile, EventKind.STARTED, datetime.now(UTC), id="1-0")

    (message,) = _written([event])

    assert message.count(b"\n\n") == 1
    assert json.loads(message.partition(b"data: ")[2])["run"] == hostile
