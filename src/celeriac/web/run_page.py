"""The page of one run: how it is, what it has logged, where it comes from; all of it live."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from itertools import accumulate

from flask import (
    Response,
    copy_current_request_context,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from celeriac.errors import (
    HistoryUnavailableError,
    RunFinishedError,
    RunNotFoundError,
    TransientError,
)
from celeriac.runs import Attempt, LogLine, LogPage, News, Run, Runs, attempts_of
from celeriac.web.context import runs
from celeriac.web.gateway import live_response
from celeriac.web.look import now
from celeriac.web.pages import pages
from celeriac.web.run_view import LineageView, RunView
from celeriac.web.streams import ENTRY_ID, HEARTBEAT
from celeriac.web.task_form import Page

__all__ = ["pages"]

BETWEEN_DRAWINGS_S = 0.25
DRAW_ANYWAY_S = 5.0
"""Bars grow and waits go on although nothing happens."""
LINES_SHOWN = 2000
CHARACTERS_SHOWN = 500_000
CHILDREN_SHOWN = 20


@pages.get("/runs/<run_id>")
def run(run_id: str) -> str:
    """Show a run."""
    found = runs().get(run_id)
    return render_template(
        "run.html", view=_view(found), log=_log(found), lineage=_lineage(found), whole=True
    )


@pages.get("/runs/<run_id>/live")
def live(run_id: str) -> Response:
    """Stream the run's live part after each change, and its new lines, until it ends for good."""
    draw = copy_current_request_context(partial(_drawn, run_id))
    after = request.headers.get("Last-Event-ID") or request.args.get("after") or ""
    known = after if ENTRY_ID.fullmatch(after) else None
    return live_response(partial(_live, runs(), run_id, known, draw))


@pages.get("/runs/<run_id>/lineage")
def lineage(run_id: str) -> str:
    """Draw the run's relatives again."""
    found = runs().get(run_id)
    return render_template("run_lineage.html", view=_view(found), lineage=_lineage(found))


@pages.get("/runs/<run_id>/log.txt")
def log_text(run_id: str) -> Response:
    """Give all that the run has logged as a file."""
    found = runs().get(run_id)
    # Other Celery clients may choose any identifier.
    name = re.sub(r"[^\w.-]", "-", found.id, flags=re.ASCII)
    return Response(
        stream_with_context(_text(found)),
        mimetype="text/plain",
        headers={"Content-Disposition": f'attachment; filename="run-{name}.log"'},
    )


@pages.post("/runs/<run_id>/cancel")
def cancel(run_id: str) -> BaseResponse | Page:
    """Cancel a run; one that has ended meanwhile just shows how it ended."""
    with suppress(RunFinishedError):
        runs().cancel(run_id)
    if "HX-Request" in request.headers:
        return "", 204  # The live part shows the change; an answer here might come after it.
    return redirect(url_for("pages.run", run_id=run_id), 303)


def _view(found: Run) -> RunView:
    return RunView(found, tuple(_attempts(found)), now())


def _attempts(found: Run) -> list[Attempt]:
    try:
        return runs().details.attempts(found)
    except HistoryUnavailableError:
        return attempts_of(found, ())


def _log(found: Run) -> LogPage | None:
    """Give the first lines, or None while nobody can tell them."""
    try:
        page = runs().details.logs(found.id, limit=LINES_SHOWN)
    except HistoryUnavailableError:
        return None
    ends = accumulate(len(line.text) for line in page.lines)
    few = [line for line, end in zip(page.lines, ends, strict=True) if end <= CHARACTERS_SHOWN]
    return page if few == page.lines else LogPage(lines=few, next=few[-1].id)


def _lineage(found: Run) -> LineageView | None:
    try:
        return LineageView(found, runs().details.lineage(found, limit=CHILDREN_SHOWN), now())
    except HistoryUnavailableError:
        return None


def _text(found: Run) -> Iterator[str]:
    after: str | None = None
    while True:
        page = runs().details.logs(found.id, after)
        for line in page.lines:
            yield f"{line.at.isoformat()} {line.level:<8} {line.logger or '-'}: {line.text}\n"
        if page.next in (None, after):
            return
        after = page.next


def _drawn(run_id: str) -> str:
    return render_template("run_live.html", view=_view(runs().get(run_id)))


async def _live(
    source: Runs, run_id: str, after: str | None, draw: Callable[[], str]
) -> AsyncGenerator[bytes, None]:
    """Send lines as they come, and the page's live part a few times a second at most."""
    yield b"retry: 500\n\n"
    try:
        async with aclosing(
            _drawings(source.details.follow(run_id, after, past_death=True), draw)
        ) as messages:
            async for message in messages:
                yield message
        is_over = (await asyncio.to_thread(source.get, run_id)).state.finished
    except TransientError:
        yield b"event: unavailable\ndata: 1\n\n"
        return
    except RunNotFoundError:
        is_over = True
    if is_over:
        yield b"event: finished\ndata: 1\n\n"


async def _drawings(
    happenings: AsyncGenerator[list[News], None], draw: Callable[[], str]
) -> AsyncGenerator[bytes, None]:
    """Read on while a drawing waits for its time: a reader who pauses falls behind for good."""
    drawn_at = -BETWEEN_DRAWINGS_S
    draw_at = time.monotonic() + DRAW_ANYWAY_S
    async with aclosing(happenings):
        reading = asyncio.ensure_future(anext(happenings, None))
        try:
            while True:
                await asyncio.wait({reading}, timeout=max(0.0, draw_at - time.monotonic()))
                if reading.done():
                    if (news := reading.result()) is None:
                        break
                    yield _lines_message(news)
                    if any(not isinstance(each, LogLine) for each in news):
                        draw_at = min(draw_at, drawn_at + BETWEEN_DRAWINGS_S)
                    reading = asyncio.ensure_future(anext(happenings, None))
                if time.monotonic() >= draw_at:
                    yield _message(await asyncio.to_thread(draw))
                    drawn_at = time.monotonic()
                    draw_at = drawn_at + DRAW_ANYWAY_S
            yield _message(await asyncio.to_thread(draw))
        finally:
            reading.cancel()
            await asyncio.wait({reading})


def _lines_message(news: list[News]) -> bytes:
    """Send lines as data: the page adds them to those that it has."""
    lines = [each for each in news if isinstance(each, LogLine)]
    if not lines:
        return b"" if news else HEARTBEAT
    data = json.dumps([line.model_dump(mode="json") for line in lines])
    return f"event: log\nid: {lines[-1].id}\ndata: {data}\n\n".encode()


def _message(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.replace("\r", "\n").split("\n"))
    return f"{lines}\n".encode()
