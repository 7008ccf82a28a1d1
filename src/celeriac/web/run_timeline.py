"""A run's life as bars on one line of time: held, waiting, executed, waiting to be tried again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from celeriac.runs import Attempt, Run, RunState
from celeriac.web.look import STATES, StateLook

WIDTH = 1000
"""Units of the picture from the submission to the end, or to now."""
LEAST_WIDTH = 5.0


LOST = StateLook("Worker lost or stopped", "heart-broken", "failure")
"""How an execution looks that nobody saw the end of."""


class SpanKind(StrEnum):
    """What a run did for a while."""

    HELD = "held"
    QUEUED = "queued"
    ATTEMPT = "attempt"
    PAUSE = "pause"


@dataclass(frozen=True)
class Span:
    """One bar. `ends_at` is None while it goes on; `x` and `width` are units of the picture."""

    kind: SpanKind
    begins_at: datetime
    ends_at: datetime | None
    x: float
    width: float
    attempt: Attempt | None = None

    @property
    def label(self) -> str:
        """Say what the run does."""
        match self.kind:
            case SpanKind.HELD:
                return "Held for its ETA"
            case SpanKind.QUEUED:
                return "Waited in the queue" if self.ends_at else "Waits in the queue"
            case SpanKind.PAUSE:
                return "Waited to be tried again" if self.ends_at else "Waits to be tried again"
        if self.attempt is None:
            return "Attempt"
        words = f"Attempt {self.attempt.number}"
        return f"{words}: worker lost or stopped" if self.attempt.lost else words

    @property
    def look(self) -> StateLook | None:
        """Give how the attempt ended, or that it executes."""
        if self.attempt is None:
            return None
        return LOST if self.attempt.lost else STATES[self.attempt.state]

    @property
    def css(self) -> str:
        """Give the class of the bar's colour."""
        return self.look.css if self.look else self.kind

    @property
    def seconds(self) -> float | None:
        """Give how long it took."""
        return (self.ends_at - self.begins_at).total_seconds() if self.ends_at else None


@dataclass(frozen=True)
class Timeline:
    """The bars in order; empty where it is not known when the run was submitted or started."""

    spans: tuple[Span, ...]
    ends_at: datetime | None

    @property
    def begins_at(self) -> datetime | None:
        """Give the left end of the picture."""
        return self.spans[0].begins_at if self.spans else None

    @property
    def seconds(self) -> float | None:
        """Give how long the whole run took, if it has ended."""
        if self.begins_at is None or self.ends_at is None:
            return None
        return max(0.0, (self.ends_at - self.begins_at).total_seconds())


@dataclass(frozen=True)
class _Stretch:
    kind: SpanKind
    begins_at: datetime
    ends_at: datetime | None
    attempt: Attempt | None = None


def timeline_of(run: Run, attempts: Sequence[Attempt], now: datetime) -> Timeline:
    """Lay out a run's life; of one that goes on, up to now."""
    stretches = [*_before(run, attempts, now), *_attempts(run, attempts)]
    known = [at for each in stretches for at in (each.begins_at, each.ends_at) if at]
    if not known:
        return Timeline((), run.finished_at)
    begin, end = min(known), max(known)
    until = end if run.state.finished else max(end, now)
    # A run that is held fills its bar on the way to its ETA.
    end = max(until, run.eta) if run.eta and run.state is RunState.SCHEDULED else until
    whole_s = max((end - begin).total_seconds(), 1e-6)

    def units(at: datetime) -> float:
        return WIDTH * (at - begin).total_seconds() / whole_s

    spans = tuple(
        _span(each, units(each.begins_at), units(each.ends_at or until)) for each in stretches
    )
    return Timeline(spans, run.finished_at)


def _span(stretch: _Stretch, left: float, right: float) -> Span:
    """Make a bar that can be seen however short the stretch was."""
    width = max(right - left, LEAST_WIDTH)
    x = min(left, WIDTH - width)
    return Span(
        stretch.kind,
        stretch.begins_at,
        stretch.ends_at,
        round(x, 1),
        round(width, 1),
        stretch.attempt,
    )


def _before(run: Run, attempts: Sequence[Attempt], now: datetime) -> Iterator[_Stretch]:
    """Give what came before the first attempt: held for the ETA, then waiting for a worker."""
    begin = run.submitted_at
    if begin is None:
        return
    started_at = attempts[0].started_at if attempts else None
    left_at = _not_before(begin, started_at or run.finished_at)
    if run.eta and run.eta > begin:
        held_until = min(run.eta, left_at or max(run.eta, now))
        is_held = run.state is RunState.SCHEDULED
        yield _Stretch(SpanKind.HELD, begin, None if is_held else held_until)
        if is_held or held_until == left_at:
            return
        begin = held_until
    yield _Stretch(SpanKind.QUEUED, begin, _not_before(begin, left_at))


def _attempts(run: Run, attempts: Sequence[Attempt]) -> Iterator[_Stretch]:
    """Give each attempt, and how long the run waited for the next one."""
    failed_at: datetime | None = None
    for index, attempt in enumerate(attempts):
        if attempt.started_at is None:
            continue
        if failed_at:
            yield _Stretch(SpanKind.PAUSE, failed_at, _not_before(failed_at, attempt.started_at))
            failed_at = None
        if attempt.lost:
            # Nobody saw its end; it was over when the same attempt began again.
            again = attempts[index + 1] if index + 1 < len(attempts) else None
            ended_at = _not_before(attempt.started_at, again.started_at if again else None)
            yield _Stretch(SpanKind.ATTEMPT, attempt.started_at, ended_at, attempt)
            continue
        ended_at = _not_before(attempt.started_at, attempt.finished_at)
        yield _Stretch(SpanKind.ATTEMPT, attempt.started_at, ended_at, attempt)
        failed_at = ended_at
    if run.state is RunState.RETRY and failed_at:
        yield _Stretch(SpanKind.PAUSE, failed_at, None)


def _not_before(begin: datetime, at: datetime | None) -> datetime | None:
    """Let no clock of another host make a stretch end before it began."""
    return max(begin, at) if at else None
