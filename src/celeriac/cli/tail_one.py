"""`celeriac run tail`: what a run logs and what happens to it, as it happens."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta

import typer
from rich.console import Console
from rich.text import Text

from celeriac.cli.plain import plain
from celeriac.cli.run_table import STYLES
from celeriac.cli.show import INTERRUPTED
from celeriac.errors import TransientError
from celeriac.events import Event, EventKind
from celeriac.runs import LogLine, News, Run, Runs, RunState

RETRY_S = 1.0
BETWEEN_PROGRESS = timedelta(seconds=1)
LEVELS = {
    "DEBUG": "dim",
    "INFO": "green",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
}

Show = Callable[[News], None]


def tail(runs: Runs, run_id: str, *, as_json: bool) -> None:
    """Print until the run ends, and exit with 1 unless it succeeded.

    Raises:
        RunNotFoundError: no such run.
    """
    show = _print_json if as_json else _Printer().show
    try:
        ended = asyncio.run(_followed(runs, run_id, show))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if ended.state is not RunState.SUCCESS:
        raise typer.Exit(1)


async def _followed(runs: Runs, run_id: str, show: Show) -> Run:
    """Follow the run, and again from the last line after a break, until it has ended."""
    after: str | None = None
    while True:
        try:
            async with aclosing(runs.details.follow(run_id, after)) as happenings:
                async for news in happenings:
                    for each in news:
                        after = each.id if isinstance(each, LogLine) else after
                        show(each)
                    # The event of the end may be lost with a Redis that forgets.
                    if not news and (await _now(runs, run_id)).state.finished:
                        break
            run = await _now(runs, run_id)
            if run.state.finished:
                show(run)
                return run
        except TransientError as error:
            print(f"celeriac: {error} Trying again.", file=sys.stderr)
            await asyncio.sleep(RETRY_S)


async def _now(runs: Runs, run_id: str) -> Run:
    return await asyncio.to_thread(runs.get, run_id)


def _print_json(news: News) -> None:
    if isinstance(news, Event):
        data = {"kind": news.kind, "id": news.id, "at": news.at.isoformat(), "data": news.data}
    else:
        kind = "log" if isinstance(news, LogLine) else "run"
        data = {"kind": kind, **news.model_dump(mode="json")}
    print(json.dumps(data), flush=True)


class _Printer:
    """Prints news for people: each state once, progress once a second at most."""

    def __init__(self) -> None:
        # Long lines are the terminal's to wrap: a copied line must stay one.
        self._console = Console(soft_wrap=True, highlight=False)
        self._state: tuple[RunState, int] | None = None
        self._attempt: int | None = None
        self._progress_at: datetime | None = None

    def show(self, news: News) -> None:
        """Print one thing."""
        if isinstance(news, LogLine):
            self._line(news)
        elif isinstance(news, Run):
            at = news.finished_at or news.started_at or news.submitted_at
            self._state_line(at, news.state, news.attempts, _of_run(news))
        elif news.kind is EventKind.PROGRESS:
            self._progress(news)
        elif news.kind is not EventKind.LOG:
            attempt = int(news.data.get("attempt") or 0)
            self._state_line(news.at, RunState(news.kind.state), attempt, _of_event(news))

    def _line(self, line: LogLine) -> None:
        if line.attempt != self._attempt and self._attempt is not None:
            self._print(line.at, Text(f"attempt {line.attempt}", style="dim"))
        self._attempt = line.attempt
        level = plain(f"{line.level:<8} ", LEVELS.get(line.level, ""))
        self._print(line.at, level + plain(line.text))

    def _state_line(self, at: datetime | None, state: RunState, attempt: int, words: str) -> None:
        if self._state == (state, attempt) or (state is RunState.PENDING and self._state):
            return
        self._state = (state, attempt)
        icon, style = STYLES[state]
        word = Text(f"{icon} {state}", style=f"bold {style}")
        self._print(at, word + plain(f" {words}".rstrip()))

    def _progress(self, event: Event) -> None:
        if self._progress_at and event.at - self._progress_at < BETWEEN_PROGRESS:
            return
        self._progress_at = event.at
        current, total = event.data.get("current"), event.data.get("total")
        of = f" of {total:,}" if total is not None else ""
        numbers = f"{current:,}{of} " if current is not None else ""
        message = event.data.get("message") or ""
        self._print(event.at, plain(f"  {numbers}{message}", "dim"))

    def _print(self, at: datetime | None, text: Text) -> None:
        time = f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03d} " if at else ""
        self._console.print(Text(time, style="dim") + text)


def _of_run(run: Run) -> str:
    if run.error:
        return f"{run.error.type}: {run.error.message}"
    if run.state is RunState.SUCCESS:
        return ""
    return " ".join(filter(None, (run.task, f"on {run.worker}" if run.worker else "")))


def _of_event(event: Event) -> str:
    error = event.data.get("error")
    if isinstance(error, dict):
        return f"{error.get('type')}: {error.get('message')}"
    attempt = event.data.get("attempt")
    return f"attempt {attempt} on {event.data.get('worker')}" if event.kind == "started" else ""
