"""What happened over time as people and programs see it: counts, durations, failures alike."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history import FailureGroup, Statistics
from celeriac.lag import RecorderLag

LONGEST = timedelta(days=3660)


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class StatsBucket(_View):
    """What happened from `starts_at` on; durations are null where nothing was measured."""

    starts_at: datetime
    submitted: int
    succeeded: int
    failed: int
    revoked: int
    runtime_p50_s: float | None
    runtime_p95_s: float | None
    waiting_p50_s: float | None
    waiting_p95_s: float | None

    @property
    def success_rate(self) -> float | None:
        """Give the share that ended well, 0 to 1; cancelled runs ended neither well nor ill."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


class RecorderView(_View):
    """How far the history is behind."""

    lag_entries: int = Field(description="Events that wait to be recorded.")
    lag_s: float = Field(description="How long the oldest of them has waited.")
    last_recorded_at: datetime | None = Field(
        description="When the newest event that was recorded came in, as far as it is known."
    )
    running: bool
    problem: str | None = Field(description="What keeps the recorder from recording.")
    lost_entries: int = Field(description="Events of the last week that were never recorded.")

    @classmethod
    def of(cls, lag: RecorderLag) -> Self:
        """Write what Redis tells."""
        return cls(
            lag_entries=lag.entries,
            lag_s=round(lag.waiting_s, 3),
            last_recorded_at=lag.last_recorded_at,
            running=lag.is_running,
            problem=lag.problem,
            lost_entries=lag.losses.entries if lag.losses else 0,
        )


class Stats(_View):
    """Buckets of equal width, oldest first and without gaps, and all of them as one."""

    since: datetime
    until: datetime
    bucket_s: int
    buckets: list[StatsBucket]
    total: StatsBucket
    recorder: RecorderView | None = Field(description="Null while Redis does not answer.")

    @classmethod
    def of(cls, found: Statistics, until: datetime, lag: RecorderLag | None) -> Self:
        """Put together what the history and the stream tell."""
        return cls(
            since=found.total.starts_at,
            until=until,
            bucket_s=found.bucket_s,
            buckets=[StatsBucket.model_validate(each) for each in found.buckets],
            total=StatsBucket.model_validate(found.total),
            recorder=RecorderView.of(lag) if lag else None,
        )


class Failure(_View):
    """Failures that look the same: one error at one place; the sample is the newest of them."""

    fingerprint: str = Field(description="Finds them all: `/runs?fingerprint=`.")
    count: int = Field(description="How many ended since then.")
    first_seen_at: datetime = Field(description="Of all that are recorded.")
    last_seen_at: datetime
    sample_id: str
    task: str | None
    error_type: str
    error_message: str


class FailureList(_View):
    """Groups of failures, that with the newest failure first."""

    failures: list[Failure]

    @classmethod
    def of(cls, groups: Iterable[FailureGroup]) -> Self:
        """Write what the history tells."""
        return cls(failures=[Failure.model_validate(each) for each in groups])


def check_range(since: datetime, until: datetime) -> None:
    """Refuse a time that ends before it begins, or is too long to count.

    Raises:
        InvalidInputError: the pointer is `/since`.
    """
    if not timedelta() < until - since <= LONGEST:
        detail = f"Ask for a time that ends after it begins, {LONGEST.days} days at most."
        raise InvalidInputError([FieldProblem("/since", detail)])
