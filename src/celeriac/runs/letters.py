"""A dead letter as people and programs see it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_jsonable_python

from celeriac.errors import FieldProblem, InvalidInputError, UnsignedError
from celeriac.history.fingerprint import fingerprint
from celeriac.runs.letter_boxes import RawLetter
from celeriac.runs.run import Run, RunError

GROUP_LENGTH = 16
MOST_SHOWN_BYTES = 20_000
_WITH_ARGUMENTS = ("argsrepr", "kwargsrepr")
"""Headers that hold the arguments again, secrets included."""


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class Letter(_View):
    """A message that the broker or a worker has put aside. Instants are in UTC."""

    id: str = Field(description="Tells this letter from all others of its queue.")
    group: str = Field(description="The same for letters that died of the same thing.")
    queue: str = Field(description="The queue that it died in.")
    reason: str = Field(
        description="`rejected` by a worker, `delivery_limit` of the broker, or `expired`."
    )
    died_at: datetime | None = None
    run_id: str | None = None
    task: str | None = None
    error: RunError | None = Field(None, description="What it died of.")
    args: JsonValue = Field(None, description="The arguments by name, as those of a run.")
    payload: JsonValue = Field(None, description="The body of what is no message of Celery's.")
    size_bytes: int = 0
    headers: dict[str, JsonValue] = {}
    unsigned: bool = Field(
        False, description="Its signature is missing or wrong: it is not replayed as it is."
    )


class LetterGroup(_View):
    """Letters that died of the same thing."""

    group: str
    count: int
    queue: str
    task: str | None
    reason: str
    error: RunError | None
    first_at: datetime | None
    last_at: datetime | None


class LetterList(_View):
    """The oldest letters, in groups too; `total` counts those that are not shown as well."""

    letters: list[Letter]
    groups: list[LetterGroup]
    total: int


class LetterSelection(BaseModel):
    """Which letters are meant: those that meet all of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: list[str] = Field([], max_length=10_000, description="Any of these letters.")
    group: str | None = Field(
        None, description="Letters of this group, by its name or how it begins."
    )
    queue: str | None = Field(None, description="Letters of this queue.")
    all: bool = Field(False, description="Needed where nothing else is given: all are meant.")

    def check(self) -> Self:
        """Refuse what would mean everything without having said so.

        Raises:
            InvalidInputError: nothing is asked for.
        """
        if not (self.ids or self.group or self.queue or self.all):
            detail = 'This would mean every dead letter. Name some, or send "all": true.'
            raise InvalidInputError([FieldProblem("/all", detail)])
        return self

    @property
    def names_part_of_group(self) -> bool:
        """Tell whether a group is given by less than its whole name."""
        return self.group is not None and len(self.group) < GROUP_LENGTH

    def with_whole_group(self, letters: Iterable[Letter]) -> Self:
        """Name the group whole that one of these letters is of and whose name begins so.

        Raises:
            InvalidInputError: no group begins so, or several do.
        """
        if self.group is None or not self.names_part_of_group:
            return self
        names = {each.group for each in letters} if self.group else set()
        found = sorted(name for name in names if name.startswith(self.group))
        if len(found) == 1:
            return self.model_copy(update={"group": found[0]})
        detail = f"Several groups begin with {self.group!r}: {', '.join(found)}."
        if not found:
            detail = f"No group of dead letters begins with {self.group!r}."
        raise InvalidInputError([FieldProblem("/group", detail)])

    def means(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.group in (None, letter.group)
            and self.queue in (None, letter.queue)
        )


def letter_of(
    raw: RawLetter,
    run: Run | None,
    args: Mapping[str, Any] | None = None,
    problem: str | None = None,
) -> Letter:
    """Give a letter as people see it, with what its run tells; `args` are fit to be shown.

    The problem is what is wrong with its signature.
    """
    headers, death = raw.lasting_headers, _death(raw.headers)
    error = _unsigned(problem) or (run.error if run else None) or _told_error(death)
    task = _text(headers.get("task")) or (run.task if run else None)
    reason = str(death.get("reason") or "rejected")
    cause = (error.type, error.message) if error else (reason, None)
    return Letter(
        id=_identity(raw),
        group=fingerprint(f"{task} {raw.queue} {cause[0]}", cause[1], None),
        queue=raw.queue,
        reason=reason,
        died_at=_instant(death.get("time") or death.get("at")),
        run_id=run_id_of(raw),
        task=task,
        error=error,
        args=None if args is None else dict(args),
        payload=_payload(raw.body) if args is None else None,
        size_bytes=len(raw.body),
        headers={
            name: to_jsonable_python(value, fallback=str)
            for name, value in headers.items()
            if name not in _WITH_ARGUMENTS
        },
        unsigned=problem is not None,
    )


def run_id_of(raw: RawLetter) -> str | None:
    """Give the run that the message is of, if it tells one."""
    return _text(raw.headers.get("id"))


def call_of(raw: RawLetter) -> tuple[Sequence[Any], Mapping[str, Any]] | None:
    """Give the arguments that the message calls its task with, where it is one of Celery's."""
    try:
        args, kwargs, _ = json.loads(raw.body)
    except (ValueError, TypeError):
        return None
    return (args, kwargs) if isinstance(args, list) and isinstance(kwargs, dict) else None


def groups_of(letters: Iterable[Letter]) -> list[LetterGroup]:
    """Put letters together that died of the same thing, the largest group first."""
    groups: dict[str, list[Letter]] = {}
    for letter in letters:
        groups.setdefault(letter.group, []).append(letter)
    return sorted(map(_group, groups.values()), key=lambda group: -group.count)


def _group(letters: list[Letter]) -> LetterGroup:
    sample = letters[-1]
    instants = sorted(letter.died_at for letter in letters if letter.died_at)
    return LetterGroup(
        group=sample.group,
        count=len(letters),
        queue=sample.queue,
        task=sample.task,
        reason=sample.reason,
        error=sample.error,
        first_at=instants[0] if instants else None,
        last_at=instants[-1] if instants else None,
    )


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what is told of the death: by a worker of ours, or by the broker, the newest first."""
    if isinstance(told := headers.get("celeriac_dead"), Mapping):
        return told
    deaths = headers.get("x-death")
    # Waiting for an ETA is a death in a delayed queue to the broker.
    known = [d for d in deaths if isinstance(d, Mapping)] if isinstance(deaths, list) else []
    ours = [d for d in known if not str(d.get("queue", "")).startswith("celery_delayed_")]
    return ours[0] if ours else {}


def _told_error(death: Mapping[str, Any]) -> RunError | None:
    """Give what the worker told that could not read the message."""
    told = death.get("error")
    kind, message = (told.get("type"), told.get("message")) if isinstance(told, Mapping) else (0, 0)
    if not (isinstance(kind, str) and isinstance(message, str)):
        return None
    return RunError(type=kind, message=message)


def _unsigned(problem: str | None) -> RunError | None:
    return None if problem is None else RunError(type=UnsignedError.__name__, message=problem)


def _identity(raw: RawLetter) -> str:
    # It covers all that is executed, so that nobody can put something else in its place.
    told = json.dumps(
        [raw.queue, raw.lasting_headers, _death(raw.headers)], default=str, sort_keys=True
    )
    return blake2b(told.encode() + raw.body, digest_size=12).hexdigest()


def _payload(body: bytes) -> JsonValue:
    shown = body[:MOST_SHOWN_BYTES]
    try:
        return json.loads(body) if len(body) <= MOST_SHOWN_BYTES else shown.decode()
    except ValueError:
        return shown.decode(errors="replace")


def _instant(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
