"""Runs for the tests of the history, as streams of events, and what a filter means, in Python."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from celeriac.events import Event, EventKind
from celeriac.history import History, RunFilter, RunRow

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
ERROR = {"type": "ValueError", "message": "Größe 7 is 100% wrong", "traceback": "Traceback ..."}
TASKS = ("shop.pay", "shop.ship", "mail.send")
STATES = ("PENDING", "SCHEDULED", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")


def at(seconds: float) -> datetime:
    """Give the instant so many seconds after the start."""
    return START + timedelta(seconds=seconds)


class Stream:
    """Makes events with places in a stream, as the recorder reads them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, run_id: str, kind: EventKind, seconds: float, **data: Any) -> None:
        """Add one event."""
        place = f"{int(at(seconds).timestamp() * 1000)}-{len(self.events)}"
        self.events.append(Event(run_id, kind, at(seconds), data, place))

    def run(self, seconds: float, state: str = "SUCCESS", **facts: Any) -> str:
        """Add all events of a run that comes to this state; gives its identifier."""
        run_id = facts.pop("id", None) or str(uuid4())
        attempt = {"attempt": 1, "worker": facts.pop("worker", "celery@one")}
        result = facts.pop("result", 42)
        error = facts.pop("error", ERROR)
        self.add(run_id, EventKind.SUBMITTED, seconds, **{"task": "shop.pay", **facts})
        if state in ("PENDING", "SCHEDULED"):
            return run_id
        self.add(run_id, EventKind.STARTED, seconds + 1, **attempt)
        ends = {
            "SUCCESS": (EventKind.SUCCEEDED, {"result": result}),
            "FAILURE": (EventKind.FAILED, {"error": error}),
            "RETRY": (EventKind.RETRY, {"error": error}),
            "REVOKED": (EventKind.REVOKED, {"reason": "terminated"}),
        }
        if state in ends:
            kind, data = ends[state]
            self.add(run_id, kind, seconds + 3, **attempt, **data)
        return run_id


def ids(runs: Sequence[RunRow]) -> list[str]:
    """Give the runs' identifiers."""
    return [run.id for run in runs]


def every(history: History, wanted: RunFilter | None = None, limit: int = 7) -> list[RunRow]:
    """Read all pages."""
    found: list[RunRow] = []
    cursor = None
    while True:
        page = history.find(wanted, cursor, limit)
        found.extend(page.runs)
        if (cursor := page.next_cursor) is None:
            return found


def many(number: int) -> Stream:
    """Make runs of all kinds, related to each other."""
    chance = random.Random(5)
    stream = Stream()
    made: list[str] = []
    for index in range(number):
        state = chance.choice(STATES)
        own = str(uuid4())
        parent = chance.choice(made[-20:]) if made and chance.random() < 0.4 else None
        made.append(
            stream.run(
                index * 3 + chance.random(),
                state,
                id=own,
                task=chance.choice(TASKS),
                queue=chance.choice(["fast", "slow"]),
                worker=chance.choice(["celery@one", "celery@two"]),
                tags=chance.sample(["red", "green", "blue"], k=chance.randint(0, 3)),
                args={"n": index, "word": chance.choice(["Alpha", "beta"])},
                result={"word": chance.choice(["gamma", "DELTA"])},
                parent_id=parent,
                root_id=chance.choice(made) if parent else own,
                resubmit_of=chance.choice(made) if made and chance.random() < 0.2 else None,
                eta=(START + timedelta(days=9)).isoformat() if state == "SCHEDULED" else None,
            )
        )
    return stream


def any_filter(chance: random.Random, runs: Sequence[RunRow]) -> RunFilter:
    """Ask for one to three things, some of which no run has."""
    a_run = chance.choice(runs)
    possible: dict[str, Any] = {
        "tasks": tuple(chance.sample([*TASKS, "none"], k=chance.randint(1, 3))),
        "states": tuple(chance.sample(STATES, k=chance.randint(1, 4))),
        "queue": chance.choice(["fast", "slow", "none"]),
        "worker": chance.choice(["celery@one", "none"]),
        "tags": tuple(chance.sample(["red", "green", "blue"], k=chance.randint(1, 2))),
        "since": START + timedelta(seconds=chance.randint(0, 900)),
        "until": START + timedelta(seconds=chance.randint(0, 900)),
        "finished_since": START + timedelta(seconds=chance.randint(0, 900)),
        "finished_until": START + timedelta(seconds=chance.randint(0, 900)),
        "parent_id": a_run.parent_id or a_run.id,
        "root_id": a_run.root_id,
        "resubmit_of": a_run.resubmit_of or a_run.id,
        "text": chance.choice(["ALPHA", "delta", "größe", "nowhere"]),
        "ids": tuple(run.id for run in chance.sample(runs, k=5)),
    }
    names = chance.sample(sorted(possible), k=chance.randint(1, 3))
    return RunFilter(**{name: possible[name] for name in names})


def meets(run: RunRow, wanted: RunFilter) -> bool:
    """Tell whether the filter means this run."""
    error = f"{run.error.type} {run.error.message} {run.error.traceback}" if run.error else ""
    texts = f"{json.dumps(run.args)} {json.dumps(run.result)} {error}".casefold()
    return all(
        (
            not wanted.tasks or run.task in wanted.tasks,
            not wanted.states or run.state in wanted.states,
            wanted.queue in (None, run.queue),
            wanted.worker in (None, run.worker),
            set(wanted.tags) <= set(run.tags),
            not wanted.since or run.submitted_at >= wanted.since,
            not wanted.until or run.submitted_at < wanted.until,
            _ended_within(run, wanted),
            wanted.parent_id in (None, run.parent_id),
            wanted.root_id in (None, run.root_id, run.id),
            wanted.resubmit_of in (None, run.resubmit_of),
            not wanted.text or wanted.text.casefold() in texts,
            not wanted.ids or run.id in wanted.ids,
        )
    )


def _ended_within(run: RunRow, wanted: RunFilter) -> bool:
    since, until = wanted.finished_since, wanted.finished_until
    if since is None and until is None:
        return True
    at = run.finished_at
    return at is not None and (since is None or at >= since) and (until is None or at < until)
