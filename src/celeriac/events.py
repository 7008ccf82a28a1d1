"""What happens to runs: a stream of events in Redis, and the live record of each run.

Whoever changes a run writes one `Event` into two places, in one pipeline:

- the stream `celeriac-events`, an entry with the fields `run`, `kind`, `at` (RFC 3339, UTC) and
  `data` (a JSON object; docs/reference/events.md tells its keys). Entries stand in the order in
  which Redis took them; for one run that is nearly, and not surely, the order of what happened;
- the hash `celeriac-run-<id>`, what is known of the run now, each value as JSON. A channel of the
  same name tells of each change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

STREAM = "celeriac-events"
RECORD_PREFIX = "celeriac-run-"
MOST_ENTRIES = 1_000_000
"""Past this the oldest entries go, read or not: the stream must not fill Redis."""


class EventKind(StrEnum):
    """What can happen to a run."""

    SUBMITTED = "submitted"
    STARTED = "started"
    PROGRESS = "progress"
    LOG = "log"
    RETRY = "retry"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVOKED = "revoked"

    @property
    def finishes(self) -> bool:
        """Tell whether a run ends with it."""
        return self in (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.REVOKED)


@dataclass(frozen=True)
class Event:
    """One thing that happened to one run; `id` is its place in the stream, once it has one."""

    run_id: str
    kind: EventKind
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None

    def fields(self) -> dict[str, str]:
        """Give the entry's fields."""
        return {
            "run": self.run_id,
            "kind": self.kind,
            "at": self.at.astimezone(UTC).isoformat(),
            "data": _dumped(self.data),
        }

    @classmethod
    def of_entry(cls, entry_id: str, fields: Mapping[str, str]) -> Self:
        """Read an entry of the stream.

        Raises:
            ValueError: it is not an entry that `fields` has written.
        """
        try:
            return cls(
                run_id=fields["run"],
                kind=EventKind(fields["kind"]),
                at=datetime.fromisoformat(fields["at"]),
                data=json.loads(fields["data"]),
                id=entry_id,
            )
        except KeyError as error:
            raise ValueError(f"An entry of {STREAM} lacks the field {error}.") from None


def append_event(pipe: Any, event: Event) -> None:
    """Add an event to the stream."""
    pipe.xadd(STREAM, event.fields(), maxlen=MOST_ENTRIES, approximate=True)


def write_record(pipe: Any, event: Event, keep_s: int | None) -> None:
    """Bring a run's record up to date, keep it `keep_s` from now, and tell who watches the run."""
    key = RECORD_PREFIX + event.run_id
    record = {name: _dumped(value) for name, value in _record(event).items()}
    for name in ("args", "queue"):
        if name in record:
            # What the submission wrote stays: it is what a person typed.
            pipe.hsetnx(key, name, record.pop(name))
    pipe.hset(key, mapping=record)
    if keep_s:
        pipe.expire(key, keep_s)
    else:
        pipe.persist(key)
    pipe.publish(key, event.kind)


def read_record(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Give the values of a record's hash."""
    return {name.decode(): json.loads(text) for name, text in fields.items()}


def error_of(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give type, message and traceback of an error as Celery's result has it."""
    error = meta.get("result")
    if not isinstance(error, dict):
        return None
    message = error.get("exc_message", "")
    if isinstance(message, (list, tuple)):
        message = ", ".join(str(part) for part in message)
    return {
        "type": str(error.get("exc_type", "Error")),
        "message": str(message),
        "traceback": meta.get("traceback"),
    }


_RECORDED = (
    "task", "args", "queue", "priority", "tags", "eta", "worker", "attempt", "parent_id", "root_id",
    "resubmit_of",
)  # fmt: skip
_STATES = {
    EventKind.SUBMITTED: "PENDING",
    EventKind.STARTED: "STARTED",
    EventKind.RETRY: "RETRY",
    EventKind.SUCCEEDED: "SUCCESS",
    EventKind.FAILED: "FAILURE",
    EventKind.REVOKED: "REVOKED",
}
_INSTANTS = {EventKind.SUBMITTED: "submitted_at", EventKind.STARTED: "started_at"}


def _record(event: Event) -> dict[str, Any]:
    record = {name: event.data[name] for name in _RECORDED if name in event.data}
    if event.kind is EventKind.PROGRESS:
        return record | {
            "progress": {n: event.data.get(n) for n in ("current", "total", "message")}
        }
    record["state"] = _STATES[event.kind]
    if name := "finished_at" if event.kind.finishes else _INSTANTS.get(event.kind):
        record[name] = event.at
    if event.kind is EventKind.STARTED:
        record["progress"] = None
    return record


def _dumped(value: Any) -> str:
    """Write JSON, come what may: an event that cannot be written would lose its run."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        return json.dumps(repr(value))


def _plain(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
