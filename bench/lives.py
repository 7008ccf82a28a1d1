"""Made-up lives of a shop's runs, spread over thirty days: the same ones each time."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from celeriac.events import Event, EventKind

DAYS = 30
END = datetime.now(UTC).replace(microsecond=0)
TASKS = tuple(f"shop.{name}" for name in (
    "pay", "ship", "mail", "resize", "index", "report", "sync", "clean", "rate", "audit",
    "export", "rarely",
))  # fmt: skip
TASK_WEIGHTS = (300, 200, 150, 100, 80, 60, 40, 30, 20, 10, 9, 1)
QUEUES, QUEUE_WEIGHTS = ("celery_see", "fast", "bulk", "rare"), (700, 200, 99, 1)
ENDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.REVOKED, EventKind.RETRY, None)
END_WEIGHTS = (9400, 500, 50, 30, 20)
WORDS = ("amber", "basil", "cedar", "daisy", "elder", "fennel", "garlic", "hazel", "iris", "lemon")
TRACEBACK = "Traceback (most recent call last):\n" + "".join(
    f'  File "/srv/shop/step{n}.py", line {n}, in step{n}\n    go({n})\n' for n in range(9)
)
HELD_UNTIL = (END + timedelta(days=1)).isoformat()
HUB = "00000000-0000-4000-8000-000000000001"
"""The parent and root of one run in a hundred."""


def list_of_ids(number: int) -> list[str]:
    """Make identifiers whose times are spread over the days, the oldest first."""
    chance = random.Random(2)
    start, step_s = END - timedelta(days=DAYS), DAYS * 86_400 / number
    return [str(identifier(start + timedelta(seconds=step_s * n), chance)) for n in range(number)]


def identifier(at: datetime, chance: random.Random) -> UUID:
    """Make a UUIDv7 of this time."""
    made_ms = int(at.timestamp() * 1000)
    return UUID(int=made_ms << 80 | 7 << 76 | 2 << 62 | chance.getrandbits(62))


def whole_lives(lives: list[str], chance: random.Random) -> Iterator[Event]:
    """Give the events of each run, one run after the other."""
    step_s = DAYS * 86_400 / len(lives)
    start = END - timedelta(days=DAYS)
    for number, run_id in enumerate(lives):
        resubmit_of = lives[7] if number % 50_000 == 8 else None
        yield from life(
            run_id, start + timedelta(seconds=step_s * number), number, chance, resubmit_of
        )


def interleaved(version: int, number: int, chance: random.Random) -> Iterator[Event]:
    """Give events as they come from many workers at once: a run's are far apart."""
    start = END - timedelta(minutes=5)
    columns = []
    for n in range(max(number // 50, 1000)):
        at = start + timedelta(milliseconds=n)
        run_id = (
            identifier(at, chance) if version == 7 else UUID(int=chance.getrandbits(128), version=4)
        )
        columns.append(list(life(str(run_id), at, n, chance)))
    for step in range(3):
        yield from (events[step] for events in columns if len(events) > step)


def life(
    run_id: str, at: datetime, number: int, chance: random.Random, resubmit_of: str | None = None
) -> Iterator[Event]:
    """Give the events of one run."""
    of_hub = number % 100 == 3
    facts: dict[str, Any] = {
        "task": chance.choices(TASKS, TASK_WEIGHTS)[0],
        "args": {"order": number, "text": " ".join(chance.choices(WORDS, k=12)), "urgent": False},
        "queue": chance.choices(QUEUES, QUEUE_WEIGHTS)[0],
        "root_id": HUB if of_hub else run_id,
        "parent_id": HUB if of_hub else None,
    }
    tags = ["nightly"] if number % 5 == 0 else []
    tags += [f"customer:{chance.randrange(5000)}"] if number % 4 == 0 else []
    submission = {"tags": tags, "resubmit_of": resubmit_of}
    if number % 50_000 == 9:
        yield Event(run_id, EventKind.SUBMITTED, at, facts | submission | {"eta": HELD_UNTIL})
        return
    yield Event(run_id, EventKind.SUBMITTED, at, facts | submission)
    at += timedelta(seconds=chance.expovariate(1))
    facts |= {"attempt": 1, "worker": f"celery@worker{chance.randrange(8)}"}
    yield Event(run_id, EventKind.STARTED, at, facts)
    kind = chance.choices(ENDS, END_WEIGHTS)[0]
    if kind is not None:
        at += timedelta(seconds=chance.lognormvariate(0, 1.5))
        yield Event(run_id, kind, at, facts | outcome(kind, number))


def outcome(kind: EventKind, number: int) -> dict[str, Any]:
    """Give how a run ended."""
    if kind is EventKind.SUCCEEDED:
        return {"result": {"number": f"number {number}", "ok": True, "rows": [number, number + 1]}}
    message = f"order {number} has no price in '{number % 97}'"
    error = {"type": f"Error{number % 40}", "message": message, "traceback": TRACEBACK}
    return {"error": error, "reason": "terminated"}
