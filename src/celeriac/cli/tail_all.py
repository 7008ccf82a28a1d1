"""`celeriac runs tail`: what happens to runs, as it happens."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from rich.console import Console
from rich.text import Text

from celeriac.cli.plain import one_line, plain
from celeriac.cli.run_table import STYLES
from celeriac.errors import FieldProblem, InvalidInputError, ResultsUnavailableError
from celeriac.events import Event, EventKind
from celeriac.runs import Run, Runs, RunState

RETRY_S = 1.0
MOST_REMEMBERED = 10_000
"""Runs whose task and queue are remembered, since their progress does not tell it."""


@dataclass(frozen=True)
class Wanted:
    """Which happenings are printed; what is empty asks nothing."""

    tasks: frozenset[str] = frozenset()
    states: frozenset[RunState] = frozenset()
    queue: str | None = None

    @classmethod
    def of(cls, tasks: Iterable[str], states: Iterable[str], queue: str | None) -> Self:
        """Read the options of the command line.

        Raises:
            InvalidInputError: there is no such state.
        """
        named = [state.upper() for state in states]
        unknown = [state for state in named if state not in RunState.__members__]
        if unknown:
            detail = f"{unknown[0]!r} is none of {', '.join(RunState)}."
            raise InvalidInputError([FieldProblem("--state", detail)])
        return cls(frozenset(tasks), frozenset(map(RunState, named)), queue)

    def takes(self, happened: "Happened") -> bool:
        """Tell whether this is to be printed."""
        return (
            (not self.tasks or happened.task in self.tasks)
            and (not self.states or happened.state in self.states)
            and self.queue in (None, happened.queue)
        )


@dataclass(frozen=True)
class Happened:
    """An event, with what is known of its run."""

    event: Event
    state: RunState
    task: str | None
    queue: str | None


class Follower:
    """Completes events by what earlier ones of the same run have told."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._known: dict[str, tuple[str | None, str | None]] = {}
        self.last_id: str | None = None

    def taken(self, events: Sequence[Event]) -> Iterator[Happened]:
        """Give those of the events that are wanted."""
        for event in events:
            self.last_id = event.id or self.last_id
            happened = self._completed(event)
            if self._wanted.takes(happened):
                yield happened

    def _completed(self, event: Event) -> Happened:
        before = self._known.pop(event.run_id, (None, None))
        task = event.data.get("task") or before[0]
        queue = event.data.get("queue") or before[1]
        if not event.kind.finishes:
            self._known[event.run_id] = task, queue
            if len(self._known) > MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
        return Happened(event, _state(event), task, queue)


def follow(runs: Runs, wanted: Wanted, *, for_programs: bool) -> None:
    """Print what happens until somebody presses Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)

    def show(happened: Happened) -> None:
        if for_programs:
            print(as_json(happened.event), flush=True)
        else:
            console.print(line(happened))

    if not for_programs and sys.stdout.isatty():
        print("Waiting for something to happen; Ctrl-C ends it.", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(runs, Follower(wanted), show))


async def _follow(runs: Runs, follower: Follower, show: Callable[[Happened], None]) -> None:
    """Go on for ever: one that fell behind, or lost Redis, comes back to where it was."""
    is_away = False
    while True:
        try:
            async with aclosing(runs.listen(after=follower.last_id)) as happenings:
                async for events in happenings:
                    is_away = False
                    for happened in follower.taken(() if isinstance(events, Run) else events):
                        show(happened)
        except ResultsUnavailableError as error:
            if not is_away:
                print(f"celeriac: {error} Trying again.", file=sys.stderr)
            is_away = True
            await asyncio.sleep(RETRY_S)


def line(happened: Happened) -> Text:
    """Write what happened on one line."""
    event = happened.event
    icon, style = STYLES[happened.state]
    worker = event.data.get("worker") or ""
    parts = [
        Text(f"{event.at.astimezone():%H:%M:%S.%f}"[:-3], "dim"),
        Text(f"  {icon} {happened.state:<9}", style),
        plain(f"  {one_line(happened.task or 'unknown task')}", "bold"),
        plain(f"  {one_line(event.run_id)}"),
        plain(f"  {one_line(worker)}" if worker else "", "dim"),
        plain(f"  {one_line(_words(event))}"),
    ]
    text = Text.assemble(*parts)
    text.rstrip()
    return text


def as_json(event: Event) -> str:
    """Write all of an event as one line of JSON."""
    fields = {"id": event.id, "run": event.run_id, "kind": event.kind, "at": event.at.isoformat()}
    # Escaped, so that half a surrogate pair can be printed, and no control character steers.
    return json.dumps(fields | {"data": event.data})


def _state(event: Event) -> RunState:
    held_until = event.data.get("eta") if event.kind is EventKind.SUBMITTED else None
    if held_until and datetime.fromisoformat(held_until) > event.at:
        return RunState.SCHEDULED
    return RunState(event.kind.state)


def _words(event: Event) -> str:
    data = event.data
    match event.kind:
        case EventKind.PROGRESS:
            of = f" of {data['total']:,}" if data.get("total") else ""
            current = f"{data['current']:,}" if data.get("current") is not None else ""
            return " ".join(filter(None, [f"{current}{of}", data.get("message")]))
        case EventKind.LOG:
            return f"{data.get('level', '')} {data.get('text', '')}".strip()
        case EventKind.FAILED | EventKind.RETRY | EventKind.REVOKED | EventKind.DEAD:
            error = data.get("error") or {}
            return f"{error.get('type', '')}: {error.get('message', '')}".strip(": ")
        case EventKind.SUBMITTED if data.get("eta"):
            return f"not before {data['eta']}"
    return ""
