"""How far an action on many runs or letters is, as lines of NDJSON."""

import math
import time
from collections.abc import Iterator
from itertools import chain

from flask import Response

from celeriac.web.access.gate import watched
from celeriac.web.access.watching import Going, Progress
from celeriac.web.api.blueprint import NDJSON

LINE_EVERY_S = 0.5


def lines_of(going: Going[Progress]) -> Response:
    """Answer with lines of progress; what goes wrong before anything was done is a problem."""
    allowed = watched(going)
    lines = _written(chain([next(allowed)], allowed))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(lines, mimetype=NDJSON, headers=headers)


def _written(progress: Iterator[Progress]) -> Iterator[str]:
    """Write one line now and then, and the last one in any case."""
    written_s = -math.inf
    for each in progress:
        is_last = each.finished or each.stopped is not None
        if is_last or time.monotonic() - written_s >= LINE_EVERY_S:
            written_s = time.monotonic()
            yield each.model_dump_json() + "\n"
