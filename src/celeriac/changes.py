"""One change of a run, written to Redis at once, or not at all.

Everything that belongs to a change goes into one script, hence into one round trip: Celery's own
result, the event, the live record and what tells the watchers. The script looks at the run first,
so that a message that was delivered twice, or late, never undoes what happened since, and so that
no run starts that was cancelled.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.resources import files
from typing import Any
from uuid import uuid4

from redis.exceptions import NoScriptError

from celeriac.events import (
    KEEP_WAITING_S,
    KEPT_FIELDS,
    MOST_ENTRIES,
    RECORD_PREFIX,
    STREAM,
    Event,
    as_json,
    record_fields,
)
from celeriac.exchange import Send, exchange, packed, send_alone

_SCRIPT = files("celeriac").joinpath("changes.lua").read_text()
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_TAKE_BACK = """
for place, record in ipairs(KEYS) do
    local known = redis.call('HMGET', record, 'attempt', 'starts')
    if known[1] == ARGV[place] and (tonumber(known[2]) or 0) > 0 then
        redis.call('HINCRBY', record, 'starts', -1)
        redis.call('HSET', record, 'handed_back', ARGV[#ARGV])
    end
end
"""


class Verdict(StrEnum):
    """What became of a change."""

    WRITTEN = "written"
    LATE = "late"
    """The attempt has gone further than that already, or another has begun."""
    FINISHED = "finished"
    """The run has ended, and nothing changes that."""
    CANCELLED = "cancelled"
    """A cancelled run does not start, and ends as REVOKED where it did not succeed."""
    DEAD = "dead"
    """It was started too often without an end: whoever executes it dies of it."""
    STARTED = "started"
    """The run executes: only its own worker can end it."""


@dataclass(frozen=True)
class Lines:
    """Lines of one attempt, and a word of their own by which they are written only once."""

    events: Sequence[Event] = ()
    token: str = field(default_factory=lambda: uuid4().hex)


NO_LINES = Lines()


@dataclass(frozen=True)
class Change:
    """A change of one run."""

    event: Event
    state: str
    """Celery's word for it, or one that the task has invented."""
    result_key: str | bytes
    result: str | bytes | None
    """Celery's result as it is stored, or None where nobody wants one."""
    keep_s: int | None
    """How long result and record stay from now; for ever where it is None or 0."""
    attempt: int | None
    """None where somebody else than the run's worker writes; then the record's counts."""
    forbids_start: bool = False
    """Once this is written, no message of this run is executed any more."""
    asks_to_cancel: bool = False
    """The same, and that even where the run executes already and nothing else can be written."""
    is_told: bool = True
    """Whether the event goes into the stream, or only changes the record."""
    most_restarts: int = 0
    """How often the same attempt may start again; 0 is any number."""
    lines: Lines = NO_LINES
    """What was logged before, which goes into the stream whatever becomes of the change."""


def write_change(client: Any, change: Change, send: Send = send_alone) -> Verdict:
    """Write a change in one round trip, unless the run has gone further.

    Raises:
        redis.RedisError: no answer came; the change may have been written, and may come again.
    """
    call = _call(change)
    answer = send(client, ("EVALSHA", _SHA, *call))
    if isinstance(answer, NoScriptError):
        answer = client.eval(_SCRIPT, *call)
    return _verdict(answer)


def write_changes(client: Any, changes: Sequence[Change]) -> list[Verdict]:
    """Write changes of many runs in one round trip, each whatever becomes of the others.

    Raises:
        redis.RedisError: the first error; all the other changes may have been written.
    """
    calls = [packed(("EVALSHA", _SHA, *_call(change))) for change in changes]
    answers = exchange(client, [packed(("SCRIPT", "LOAD", _SCRIPT)), *calls])
    return [_verdict(answer) for answer in answers[1:]]


def write_together(client: Any, changes: Sequence[Change]) -> list[Verdict | Exception]:
    """Write changes of many runs in one exchange; what was not written has its error for a verdict.

    Raises:
        redis.RedisError: no answer came; each of them may have been written, and may come again.
    """
    commands = [packed(("EVALSHA", _SHA, *_call(change))) for change in changes]
    answers = exchange(client, commands)
    return [each if isinstance(each, Exception) else _verdict(each) for each in answers]


def take_back_starts(client: Any, attempts: Mapping[str, int]) -> None:
    """Count the newest start of these runs' attempts no more: they were handed back on purpose.

    The event of the next start tells of it.

    Raises:
        redis.RedisError
    """
    if attempts:
        keys = [RECORD_PREFIX + run_id for run_id in attempts]
        now = as_json(datetime.now(UTC))
        client.eval(_TAKE_BACK, len(keys), *keys, *attempts.values(), now)


def _verdict(answer: Any) -> Verdict:
    if isinstance(answer, Exception):
        raise answer
    return Verdict(answer.decode())


def _call(change: Change) -> list[Any]:
    """Give the script's keys and arguments, in the order in which it reads them."""
    fields = record_fields(change.event)
    kept = {name: fields.pop(name) for name in KEPT_FIELDS if name in fields}
    entries = [change.event.fields(), *(line.fields() for line in change.lines.events)]
    return [
        3,
        RECORD_PREFIX + change.event.run_id,
        change.result_key,
        STREAM,
        change.state,
        "" if change.attempt is None else change.attempt,
        int(change.forbids_start or change.asks_to_cancel),
        int(change.asks_to_cancel),
        int(change.is_told),
        change.keep_s or 0,
        KEEP_WAITING_S,
        MOST_ENTRIES,
        "" if change.result is None else change.result,
        f'"{change.lines.token}"',
        len(change.lines.events),
        len(kept),
        change.most_restarts,
        *(text for entry in entries for text in entry.values()),
        *(part for pair in (*kept.items(), *fields.items()) for part in pair),
    ]
