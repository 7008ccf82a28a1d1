"""A run with what its page shows besides the plain values."""

import math
from dataclasses import dataclass
from datetime import datetime

from celeriac.runs import Run, RunState
from celeriac.web.look import STATES, StateLook
from celeriac.web.shown import Shown, shown, shown_end

PRECISE_BELOW = 10**15


@dataclass(frozen=True)
class ErrorView:
    """A run's error as its page shows it."""

    type: str
    message: Shown
    traceback: Shown | None


@dataclass(frozen=True)
class RunView:
    """A run as its page shows it."""

    run: Run

    @property
    def look(self) -> StateLook:
        """Give the state's word, icon and colour."""
        return STATES[self.run.state]

    @property
    def due_at(self) -> datetime | None:
        """Give the instant from which the run could have started."""
        known = [at for at in (self.run.submitted_at, self.run.eta) if at]
        return max(known, default=None)

    @property
    def waited_s(self) -> float | None:
        """Give how long the run lay in its queue, as far as it has left it."""
        return _seconds(self.due_at, self.run.started_at)

    @property
    def ran_s(self) -> float | None:
        """Give how long the latest attempt took."""
        return _seconds(self.run.started_at, self.run.finished_at)

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
    def waited_share(self) -> float | None:
        """Give the part (0 to 1) that waiting took of the whole time."""
        if self.waited_s is None or self.ran_s is None or self.waited_s + self.ran_s <= 0:
            return None
        return self.waited_s / (self.waited_s + self.ran_s)

    @property
    def result(self) -> Shown:
        """Give the result as it is shown."""
        return shown(self.run.result)

    @property
    def arguments(self) -> Shown:
        """Give the arguments as they are shown."""
        return shown(self.run.args)

    @property
    def error(self) -> ErrorView | None:
        """Give the error as it is shown."""
        error = self.run.error
        if error is None:
            return None
        traceback = shown_end(error.traceback) if error.traceback else None
        return ErrorView(error.type, shown(error.message), traceback)


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
