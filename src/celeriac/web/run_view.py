"""A run with what its page shows besides the plain values."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.runs import Run, RunState
from celeriac.web.look import STATES, StateLook, json_text

SHOWN_CHARACTERS_MAX = 100_000


@dataclass(frozen=True)
class Shown:
    """A value as text, cut where it is too long for a page."""

    text: str
    is_json: bool
    is_short: bool
    cut: bool


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
        if progress is None or progress.current is None or not progress.total:
            return None
        return max(0, min(100, round(100 * progress.current / progress.total)))

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


def shown(value: object) -> Shown:
    """Write a value for the page: text as it is, anything else as JSON."""
    is_json = not isinstance(value, str)
    text = json_text(value) if is_json else str(value)
    short = len(text) <= 60 and "\n" not in text
    return Shown(text[:SHOWN_CHARACTERS_MAX], is_json, short, len(text) > SHOWN_CHARACTERS_MAX)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None
