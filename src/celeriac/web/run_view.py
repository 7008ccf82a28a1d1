"""A run with what its page shows besides the plain values."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from celeriac.runs import Attempt, Lineage, LogLine, Run, RunState, RunSummary, attempts_of
from celeriac.web.look import STATES, StateLook, now
from celeriac.web.run_timeline import Timeline, timeline_of
from celeriac.web.shown import Shown, shown, shown_end

PRECISE_BELOW = 10**15
_REVOKED_WORDS = {"expired": "expired", "ignored by its task": "ignored by its task"}
AFTERMATH = timedelta(seconds=15)
"""How long after its end a run may get its first children."""


@dataclass(frozen=True)
class ErrorView:
    """A run's error as its page shows it."""

    type: str
    message: Shown
    traceback: Shown | None


@dataclass(frozen=True)
class RunView:
    """A run as its page shows it; `attempts` are those that are known, `drawn_at` is now."""

    run: Run
    attempts: tuple[Attempt, ...] = ()
    drawn_at: datetime = field(default_factory=now)

    @property
    def timeline(self) -> Timeline:
        """Give the run's life as bars."""
        return timeline_of(self.run, self.attempts or attempts_of(self.run, ()), self.drawn_at)

    def begins_again_before(self, line: LogLine, earlier: LogLine | None) -> bool:
        """Tell whether an attempt whose worker was lost began again between two lines of a log."""
        again = (
            after.started_at
            for before, after in pairwise(self.attempts)
            if before.lost and after.started_at and after.number == line.attempt
        )
        return any(line.at >= at and (earlier is None or earlier.at < at) for at in again)

    @property
    def look(self) -> StateLook:
        """Give the state's word, icon and colour."""
        return STATES[self.run.state]

    @property
    def goes_on(self) -> bool:
        """Tell whether more may come: a dead letter can be replayed."""
        return not self.run.state.finished or self.run.state is RunState.DEAD

    @property
    def is_uncalled_body(self) -> bool:
        """Tell whether it is a chord's body that failed since a part of its header did.

        Its input would have been their results, so there is none to submit again.
        """
        error = self.run.error
        is_of_chord = error is not None and error.type.rpartition(".")[2] == "ChordError"
        return is_of_chord and self.run.state is RunState.FAILURE and not self.run.started_at

    @property
    def due_at(self) -> datetime | None:
        """Give the instant from which the run could have started."""
        known = [at for at in (self.run.submitted_at, self.run.eta) if at]
        return max(known, default=None)

    @property
    def waited_s(self) -> float | None:
        """Give how long the run lay in its queue, as far as it has left it."""
        first = next((each.started_at for each in self.attempts if each.started_at), None)
        return _seconds(self.due_at, first or self.run.started_at)

    @property
    def ran_s(self) -> float | None:
        """Give how long the latest attempt took."""
        return _seconds(self.run.started_at, self.run.finished_at)

    @property
    def whole_s(self) -> float | None:
        """Give how long the run took from the start of its first attempt that is known."""
        starts = [each.started_at for each in self.attempts if each.started_at]
        return _seconds(min(starts, default=self.run.started_at), self.run.finished_at)

    @property
    def attempts_words(self) -> str:
        """Say how many attempts were needed, if it was more than one."""
        return f" and {self.run.attempts} attempts" if self.run.attempts > 1 else ""

    @property
    def waits(self) -> bool:
        """Tell whether the run lies in its queue now."""
        return self.run.state is RunState.PENDING

    @property
    def percent(self) -> int | None:
        """Give the progress, if it can be told."""
        progress = self.run.progress
        current = finite(progress.current) if progress else None
        total = finite(progress.total) if progress else None
        if current is None or not total:
            return None
        share = finite(current / total)
        return None if share is None else round(100 * max(0.0, min(1.0, share)))

    @property
    def progress_message(self) -> Shown:
        """Give what the task says about its progress."""
        return shown((self.run.progress and self.run.progress.message) or "")

    @property
    def progress_numbers(self) -> str:
        """Give the progress in numbers, as far as it can be told."""
        progress = self.run.progress
        if progress is None or not (current := number_words(progress.current)):
            return ""
        total = number_words(progress.total or None)
        return current if self.percent is None else f"{current} of {total} · {self.percent} %"

    @property
    def result(self) -> Shown:
        """Give the result as it is shown."""
        return shown(self.run.result)

    @property
    def raw(self) -> Shown:
        """Give the run as the API shows it."""
        return shown(self.run.model_dump(mode="json"))

    @property
    def arguments(self) -> Shown:
        """Give the arguments as they are shown."""
        return shown(self.run.args)

    @property
    def revoked_word(self) -> str:
        """Say in a word why the run was revoked."""
        reason = self.run.error.message if self.run.error else None
        return _REVOKED_WORDS.get(reason or "", "cancelled")

    @property
    def revoked_because(self) -> str:
        """Say why the run was revoked, in words that begin a sentence."""
        reason = self.run.error.message if self.run.error else None
        if reason == "expired":
            return "This run expired before it could start"
        if reason == "ignored by its task":
            return "The task left this run at that (it raised Ignore)"
        return "This run was cancelled" + ("" if self.run.started_at else " before it started")

    @property
    def error(self) -> ErrorView | None:
        """Give the error as it is shown."""
        error = self.run.error
        if error is None:
            return None
        traceback = shown_end(error.traceback) if error.traceback else None
        return ErrorView(error.type, shown(error.message), traceback)


@dataclass(frozen=True)
class Relative:
    """A run that this one has to do with."""

    relation: str
    run: RunSummary

    @property
    def look(self) -> StateLook | None:
        """Give the state's word, icon and colour, as far as the run is known."""
        return STATES[self.run.state] if self.run.state else None

    @property
    def took_s(self) -> float | None:
        """Give how long its latest attempt took."""
        return _seconds(self.run.started_at, self.run.finished_at)


@dataclass(frozen=True)
class LineageView:
    """A run's relatives as its page shows them."""

    run: Run
    lineage: Lineage
    drawn_at: datetime

    @property
    def origins(self) -> list[Relative]:
        """Give where the run comes from; a root that is the parent too stands once."""
        found = self.lineage
        root = None if found.root == found.parent else found.root
        named = (("Root", root), ("Parent", found.parent), ("Resubmitted from", found.resubmit_of))
        return [Relative(word, other) for word, other in named if other]

    @property
    def outcomes(self) -> list[Relative]:
        """Give what came of it, the children in the order in which they were submitted."""
        children = [Relative("Child", child) for child in reversed(self.lineage.children)]
        later = [Relative("Descendant", each) for each in reversed(self.lineage.descendants)]
        again = [Relative("Resubmitted as", other) for other in self.lineage.resubmissions]
        return [*children, *later, *again]

    @property
    def is_going_on(self) -> bool:
        """Tell whether it is worth looking again soon: a chain goes on after its parts end."""
        ended_at = self.run.finished_at
        if ended_at is None or self.drawn_at - ended_at < AFTERMATH:
            return True
        states = [each.run.state for each in (*self.origins, *self.outcomes)]
        return any(state is not None and not state.finished for state in states)


def finite(number: float | None) -> float | None:
    """Give a number that can be reckoned with; NaN and infinities tell nothing."""
    try:
        return None if number is None or not math.isfinite(number) else float(number)
    except OverflowError:
        return None


def number_words(number: float | None) -> str:
    """Write a number for people; empty where it tells nothing."""
    plain = finite(number)
    if number is None or plain is None:
        return ""
    return f"{number:,}" if isinstance(number, int) and plain < PRECISE_BELOW else f"{plain:,.6g}"


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None
