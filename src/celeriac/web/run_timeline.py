"""A run's life as bars on one line of time: held, waiting, executed, waiting to be tried again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby, pairwise

from celeriac.runs import Attempt, Run, RunState
from celeriac.web.look import STATES, StateLook

WIDTH = 1000
"""Units of the picture from the submission to the end, or to now."""
LEAST_WIDTH = 5.0
LETTER_SHARE = 0.2
"""How much of the picture dead letters may take, beside which all else would be too small."""
LOST_SHOWN = 4
"""How many lost starts of an attempt have bars of their own, the newest."""

LOST = StateLook("Worker lost or stopped", "heart-broken", "failure")
"""How an execution looks that nobody saw the end of."""
HANDED_BACK = StateLook("Handed back by a stopping worker", "arrow-back-up", "revoked")
"""How one looks whose worker stopped in good order."""


class SpanKind(StrEnum):
    """What a run did for a while."""

    HELD = "held"
    QUEUED = "queued"
    ATTEMPT = "attempt"
    PAUSE = "pause"
    LETTER = "letter"


@dataclass(frozen=True)
class Span:
    """One bar. `ends_at` is None while it goes on; `x` and `width` are units of the picture.

    It stands for `folded` lost starts, where there are too many; `replayed` says that it began with
    the replay of a dead letter.
    """

    kind: SpanKind
    begins_at: datetime
    ends_at: datetime | None
    x: float
    width: float
    attempt: Attempt | None = None
    folded: int = 0
    replayed: bool = False

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
            case SpanKind.LETTER:
                return "Lay as a dead letter"
        return _attempt_words(self.attempt, self.folded) if self.attempt else "Attempt"

    @property
    def look(self) -> StateLook | None:
        """Give how the attempt ended, or that it executes."""
        if self.attempt is None:
            return None
        match self.attempt.state:
            case "LOST":
                return LOST
            case "HANDED_BACK":
                return HANDED_BACK
            case state:
                return STATES[state]

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
    folded: int = 0
    replayed: bool = False


def _attempt_words(attempt: Attempt, folded: int) -> str:
    words = f"Attempt {attempt.number}"
    if folded:
        starts = "start" if folded == 1 else f"{folded} starts"
        return f"{words}, first {starts} not shown" if attempt.start else f"{words}, earlier starts"
    if attempt.lost:
        look = HANDED_BACK if attempt.state == "HANDED_BACK" else LOST
        return f"{words}{_start_words(attempt)} — {look.word.lower()}"
    return f"{words}{_start_words(attempt)}" if (attempt.start or 1) > 1 else words


def _start_words(attempt: Attempt) -> str:
    return f", start {attempt.start}" if attempt.start else ""


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
    units = _scale(stretches, begin, end)
    spans = tuple(
        _span(each, units(each.begins_at), units(each.ends_at or until)) for each in stretches
    )
    return Timeline(spans, run.finished_at)


def _scale(
    stretches: Sequence[_Stretch], begin: datetime, end: datetime
) -> Callable[[datetime], float]:
    """Give where an instant stands; of a dead letter that lay for days, some is left out."""
    letters = [(s.begins_at, s.ends_at) for s in stretches if s.kind is SpanKind.LETTER]
    lay_s = [(to - at).total_seconds() if to else 0.0 for at, to in letters]
    rest_s = (end - begin).total_seconds() - sum(lay_s)
    most_s = max(rest_s, 0.0) * LETTER_SHARE / len(letters) if letters else 0.0

    def seconds(at: datetime) -> float:
        found = (at - begin).total_seconds()
        for (since, _), whole_s in zip(letters, lay_s, strict=True):
            left_out_s = max(0.0, whole_s - most_s)
            passed_s = min(max((at - since).total_seconds(), 0.0), whole_s)
            found -= left_out_s * passed_s / whole_s if whole_s else 0.0
        return found

    whole_s = max(seconds(end), 1e-6)
    # Clocks of several hosts may tell anything.
    return lambda at: min(max(WIDTH * seconds(at) / whole_s, 0.0), WIDTH)


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
        stretch.folded,
        stretch.replayed,
    )


def _before(run: Run, attempts: Sequence[Attempt], now: datetime) -> Iterator[_Stretch]:
    """Give what came before the first attempt: held for the ETA, then waiting for a worker."""
    begin = run.submitted_at
    if begin is None:
        return
    left_at = _not_before(begin, _left_at(attempts[0]) if attempts else run.finished_at)
    if run.eta and run.eta > begin:
        held_until = min(run.eta, left_at or max(run.eta, now))
        is_held = run.state is RunState.SCHEDULED
        yield _Stretch(SpanKind.HELD, begin, None if is_held else held_until)
        if is_held or held_until == left_at:
            return
        begin = held_until
    yield _Stretch(SpanKind.QUEUED, begin, _not_before(begin, left_at))


def _left_at(first: Attempt) -> datetime | None:
    """Give when the first message of a run left its queue, to be executed or put aside."""
    return first.replayed_at or first.started_at or first.finished_at


def _attempts(run: Run, attempts: Sequence[Attempt]) -> Iterator[_Stretch]:
    """Give each attempt, and what the run did until the next one."""
    before: Attempt | None = None
    ended_at: datetime | None = None
    for _, starts in groupby(attempts, key=lambda each: each.number):
        executions = [*starts]
        yield from _between(before, ended_at, executions)
        yield from _lost_starts(executions)
        before = executions[-1]
        ended_at = _not_before(before.started_at, before.finished_at)
        if before.started_at:
            yield _Stretch(SpanKind.ATTEMPT, before.started_at, ended_at, before)
    if run.state is RunState.RETRY and ended_at:
        yield _Stretch(SpanKind.PAUSE, ended_at, None)


def _between(
    before: Attempt | None, ended_at: datetime | None, executions: Sequence[Attempt]
) -> Iterator[_Stretch]:
    """Give how the run waited for this attempt: as a dead letter, in its queue, for a retry."""
    replayed_at, until = executions[0].replayed_at, executions[0].started_at
    if before is not None and before.state is RunState.DEAD:
        # A worker may begin before it is told that somebody has replayed the letter.
        replayed_at = replayed_at or until
    if replayed_at:
        replayed_at = max(ended_at or replayed_at, replayed_at)
        if ended_at:
            yield _Stretch(SpanKind.LETTER, ended_at, replayed_at)
        left_at = _not_before(replayed_at, until or executions[0].finished_at)
        yield _Stretch(SpanKind.QUEUED, replayed_at, left_at, replayed=True)
    elif ended_at and until:
        yield _Stretch(SpanKind.PAUSE, ended_at, _not_before(ended_at, until))


def _lost_starts(executions: Sequence[Attempt]) -> Iterator[_Stretch]:
    """Give the starts whose worker was lost: each was over when the attempt began again."""
    lost = [
        (each, begin, after.started_at)
        for each, after in pairwise(executions)
        if (begin := each.started_at)
    ]
    folded = len(lost) - LOST_SHOWN if len(lost) > LOST_SHOWN + 1 else 0
    if folded:
        (first, begin, _), (_, _, again_at) = lost[0], lost[folded - 1]
        ended_at = _not_before(begin, again_at)
        yield _Stretch(SpanKind.ATTEMPT, begin, ended_at, first, folded)
    for each, begin, again_at in lost[folded:]:
        ended_at = _not_before(begin, each.finished_at or again_at)
        yield _Stretch(SpanKind.ATTEMPT, begin, ended_at, each)
        if each.finished_at and ended_at:
            yield _Stretch(SpanKind.QUEUED, ended_at, _not_before(ended_at, again_at))


def _not_before(begin: datetime | None, at: datetime | None) -> datetime | None:
    """Let no clock of another host make a stretch end before it began."""
    return max(begin or at, at) if at else None
