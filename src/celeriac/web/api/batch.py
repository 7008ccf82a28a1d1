"""Many submissions in one request, as NDJSON: one a line, answered line by line.

The answers wait in a temporary file until the last line is read. So memory stays the same for a
million lines, and a client that sends everything before it reads anything cannot block both sides.
"""

import json
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wsgi import get_input_stream

from celeriac.access.errors import ForbiddenError
from celeriac.runs import LineAnswer
from celeriac.web.access.gate import may_go_on
from celeriac.web.access.watching import WatchedReader
from celeriac.web.api.blueprint import NDJSON, api
from celeriac.web.api.runs import RUNS
from celeriac.web.context import runs, settings
from celeriac.web.problems import problem_of

IN_MEMORY_BYTES = 256 * 1024
"""Answers beyond this are written to the disk."""
PIECE_BYTES = 64 * 1024


@api.post("/runs/batch", tags=[RUNS], responses={200: {"content": {NDJSON: {}}}})
def submit_batch() -> Response:
    """Submit a run for each line.

    A line is `{"task": "...", "args": {...}, "options": {...}, "idempotency_key": "..."}`, of which
    only the task is needed; its answer is `{"line": 1, "id": "..."}` or
    `{"line": 2, "problem": {...}}`. They come in order, once all lines are read. Whose rights end
    meanwhile is told so by the last of them.
    """
    if request.mimetype != NDJSON:
        raise UnsupportedMediaType(f"Send the body as {NDJSON}.")
    spool = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - Closed with the answer.
    try:
        size_bytes = _submit_into(spool)
    except BaseException:
        spool.close()
        raise
    response = Response(_pieces(spool), mimetype=NDJSON)
    response.content_length = size_bytes
    response.call_on_close(spool.close)
    return response


def _submit_into(spool: IO[bytes]) -> int:
    # Not `request.stream`: what a body may have at most is here the limit of each line.
    raw: Any = get_input_stream(request.environ)
    body, line = WatchedReader(raw, may_go_on, PIECE_BYTES), 0
    try:
        for each in runs().batch(body, settings().max_body_bytes):
            spool.write(answer_line(each))
            line = each.line
    except ForbiddenError as error:
        spool.write(answer_line(LineAnswer(line + 1, error=error)))
    return spool.tell()


def answer_line(answer: LineAnswer) -> bytes:
    """Write the answer to one line."""
    found: dict[str, Any] = {"line": answer.line}
    found |= {"problem": problem_of(answer.error)} if answer.error else {"id": answer.run_id}
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def _pieces(spool: IO[bytes]) -> Iterator[bytes]:
    with spool:
        spool.seek(0)
        while piece := spool.read(PIECE_BYTES):
            yield piece
