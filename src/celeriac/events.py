"""What happens to runs: a stream of events in Redis, and the live record of each run.

Whoever changes a run writes one `Event` into two places, in one step (see `celeriac.changes`):

- the stream `celeriac-events`, an entry with the fields `run`, `kind`, `at` (RFC 3339, UTC) and
  `data` (a JSON object; docs/reference/events.md tells its keys). Entries stand in the order in
  which Redis took them; for one run that is nearly, and not surely, the order of what happened;
- the hash `celeriac-run-<id>`, what is known of the run now, each value as JSON. A channel of the
  same name tells of each change.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from celeriac.masking import masked

STREAM = "celeriac-events"
RECORD_PREFIX = "celeriac-run-"
MOST_ENTRIES = 1_000_000
"""Past this the oldest entries go, read or not: the stream must not fill Redis."""
KEEP_WAITING_S = 30 * 86_400
"""How long a run is known that no worker takes; the time of its ETA comes out of it."""
KEPT_FIELDS = ("args", "queue")
"""What the submission wrote of these stays in the record: it is what a person typed."""


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
    DEAD = "dead"
    REPLAYED = "replayed"

    @property
    def finishes(self) -> bool:
        """Tell whether a run ends with it."""
        return self in _ENDS

    @property
    def state(self) -> str:
        """Give Celery's word for the state of a run to which this happens."""
        return _STATES[self]


_ENDS = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.REVOKED, EventKind.DEAD})


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
            "data": as_object(self.data),
        }

    @classmethod
    def of_entry(cls, entry_id: str, fields: Mapping[str, str]) -> Self:
        """Read an entry of the stream.

        Raises:
            ValueError: it is not an entry that `fields` has written.
        """
        try:
            found = cls(
                run_id=fields["run"],
                kind=EventKind(fields["kind"]),
                at=datetime.fromisoformat(fields["at"]),
                data=json.loads(fields["data"]),
                id=entry_id,
            )
        except KeyError as error:
            raise ValueError(f"An entry of {STREAM} lacks the field {error}.") from None
        if not isinstance(found.data, dict):
            raise ValueError(f"The data of an entry of {STREAM} is no object.")
        return found


def append_event(pipe: Any, event: Event) -> None:
    """Add an event to the stream."""
    pipe.execute_command(*appending(event))


def appending(event: Event) -> list[str | int]:
    """Give the command that adds an event to the stream."""
    fields = [part for pair in event.fields().items() for part in pair]
    return ["XADD", STREAM, "MAXLEN", "~", MOST_ENTRIES, "*", *fields]


def record_fields(event: Event) -> dict[str, str]:
    """Give what an event changes in its run's record, as the hash has it."""
    return {name: as_json(value) for name, value in _record(event).items()}


def read_record(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Give the values of a record's hash."""
    return {name.decode(): json.loads(text) for name, text in fields.items()}


def error_of(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give type, message and traceback of an error, as Celery's result has it but for secrets."""
    error = meta.get("result")
    if isinstance(error, BaseException):
        error = {"exc_type": type(error).__name__, "exc_message": error.args}
    if not isinstance(error, dict):
        return None
    message, trace = error.get("exc_message", ""), meta.get("traceback")
    if isinstance(message, (list, tuple)):
        message = ", ".join(str(part) for part in message)
    return {
        "type": str(error.get("exc_type", "Error")),
        "message": masked(str(message)),
        "traceback": masked(trace) if isinstance(trace, str) else trace,
    }


_RECORDED = (
    "task", "args", "queue", "priority", "tags", "eta", "worker", "attempt", "parent_id", "root_id",
    "resubmit_of",
)  # fmt: skip
_STATES = {
    EventKind.SUBMITTED: "PENDING",
    EventKind.STARTED: "STARTED",
    # Only an execution reports progress or logs.
    EventKind.PROGRESS: "STARTED",
    EventKind.LOG: "STARTED",
    EventKind.RETRY: "RETRY",
    EventKind.SUCCEEDED: "SUCCESS",
    EventKind.FAILED: "FAILURE",
    EventKind.REVOKED: "REVOKED",
    EventKind.DEAD: "DEAD",
    # It waits for a worker, as it did at first.
    EventKind.REPLAYED: "PENDING",
}
_INSTANTS = {EventKind.SUBMITTED: "submitted_at", EventKind.STARTED: "started_at"}
_BEGINS = frozenset({EventKind.STARTED, EventKind.REPLAYED})


def _record(event: Event) -> dict[str, Any]:
    record = {name: event.data[name] for name in _RECORDED if name in event.data}
    if event.kind is EventKind.PROGRESS:
        return record | {
            "progress": {n: event.data.get(n) for n in ("current", "total", "message")}
        }
    record["state"] = event.kind.state
    # Celery's result tells it too, but there is none of a run whose result is ignored.
    record["error"] = event.data.get("error")
    if name := "finished_at" if event.kind.finishes else _INSTANTS.get(event.kind):
        record[name] = event.at.astimezone(UTC)
    if event.kind in _BEGINS:
        # What an attempt before this one has left behind is none of this one's.
        record |= {"progress": None, "finished_at": None}
    return record


def as_object(values: Mapping[str, Any]) -> str:
    """Write a JSON object; a value that JSON does not know takes none of the others with it."""
    try:
        return _ASCII(values)
    except Exception:  # Values may be of anybody's types.
        return "{" + ", ".join(f"{json.dumps(n)}: {as_json(v)}" for n, v in values.items()) + "}"


def as_json(value: Any, *, ascii_only: bool = True) -> str:
    """Write JSON, come what may: an event that cannot be written would lose its run."""
    kind = type(value)
    if kind is str and ascii_only:
        return _quoted(value)
    if kind is int:
        return repr(value)
    try:
        return (_ASCII if ascii_only else _UNICODE)(value)
    except Exception:  # Values may be of anybody's types.
        return json.dumps(_fit(value), ensure_ascii=ascii_only)


def _fit(value: Any) -> Any:
    """Put null where a number is none, or else show all of it as text."""
    try:
        return json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
    except Exception:
        return _shown(value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # Somebody's own, or it is nested too deeply.
        return f"<{type(value).__name__}>"


def _plain(value: Any) -> str:
    # As it is: in UTC it may lie beyond what a date can tell, and one without a zone has none.
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _writer(quoted: Callable[[str], str]) -> Callable[[Any], str]:
    """Make once what `json` makes anew for each value; a run has some forty of them."""
    make: Any = vars(json.encoder)["c_make_encoder"]
    if make is None:  # An interpreter without it writes the same, slower.
        ascii_only = quoted is _quoted
        return json.JSONEncoder(default=_plain, allow_nan=False, ensure_ascii=ascii_only).encode
    # Without a memory of what it is in the midst of; what contains itself is nested too deeply.
    parts = make(None, _plain, quoted, None, ": ", ", ", False, False, False)
    return lambda value: "".join(parts(value, 0))


_quoted = json.encoder.encode_basestring_ascii
_ASCII = _writer(_quoted)
_UNICODE = _writer(json.encoder.encode_basestring)
