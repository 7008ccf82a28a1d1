"""The lines that a run has logged, out of the history and, as far as they are newer, the stream."""

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import FieldProblem, HistoryUnavailableError, InvalidInputError
from celeriac.events import Event
from celeriac.history import LogRow, entry_id_of, line_of, number_of
from celeriac.runs.history import RunHistory
from celeriac.runs.run import Run
from celeriac.runs.stream import EventStream, Lines

MOST_A_PAGE = 1000
NO_LINES = Lines([])


class LogLine(BaseModel):
    """A line that a run has logged."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Its place in the stream of events; lines sort by it.")
    at: datetime
    level: str = Field(description="DEBUG, INFO, WARNING, ERROR or CRITICAL, or the logger's own.")
    logger: str | None
    text: str = Field(description="One line, or several: an error comes with its traceback.")
    attempt: int | None

    @classmethod
    def of(cls, row: LogRow) -> Self:
        """Give a line of the history."""
        return cls(
            id=entry_id_of(row.seq),
            at=row.at,
            level=row.level,
            logger=row.logger,
            text=row.text,
            attempt=row.attempt,
        )

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """Give a line as the history will have it."""
        return cls.of(line_of(event))


class LogPage(BaseModel):
    """Lines, the oldest first."""

    model_config = ConfigDict(frozen=True)

    lines: list[LogLine]
    next: str | None = Field(
        None, description="Ask for what comes after it; null when nothing more will come."
    )


class RunLog:
    """Reads what runs have logged."""

    def __init__(self, stream: EventStream, history: RunHistory) -> None:
        self._stream = stream
        self._history = history

    def page(self, run: Run, after: str | None = None, limit: int = MOST_A_PAGE) -> LogPage:
        """Give the run's next lines, those included that are not recorded yet.

        Raises:
            InvalidInputError: `after` is no place in the stream.
            HistoryUnavailableError, ResultsUnavailableError
        """
        number = _number(after)
        begun = number_of(self._stream.unrecorded_from().removeprefix("(")) or 0
        recorded = self._history.logs(run.id, number, limit + 1)
        if len(recorded) > limit and recorded[limit - 1].seq < begun:
            return _page(run, recorded, after, limit)  # Nothing unrecorded belongs before these.
        # The stream is read before the history, so that nothing slips through in between.
        waiting = self._stream.unrecorded_lines(run.id, after)
        recorded = self._history.logs(run.id, number, limit + 1)
        return _page(run, recorded, after, limit, waiting)

    def page_at_hand(self, run: Run, after: str | None = None) -> LogPage:
        """Give the next lines, or those of the stream alone while the history is away.

        Raises:
            InvalidInputError: `after` is no place in the stream.
            ResultsUnavailableError
        """
        try:
            return self.page(run, after)
        except HistoryUnavailableError:
            waiting = self._stream.unrecorded_lines(run.id, after)
            return _page(run, (), after, MOST_A_PAGE, waiting)


def _page(
    run: Run, recorded: Iterable[LogRow], after: str | None, limit: int, waiting: Lines = NO_LINES
) -> LogPage:
    rows = _in_order([*recorded, *map(line_of, waiting.events)], _number(after))
    lines = [LogLine.of(row) for row in rows[:limit]]
    if len(rows) > limit:
        return LogPage(lines=lines, next=lines[-1].id)
    if waiting.seen_up_to:
        # More may be further on: whoever asks again goes on from there.
        return LogPage(lines=lines, next=waiting.seen_up_to)
    if run.state.finished:
        return LogPage(lines=lines, next=None)
    return LogPage(lines=lines, next=lines[-1].id if lines else after)


def _number(after: str | None) -> int | None:
    if after is None:
        return None
    number = number_of(after)
    if number is None:
        detail = "Give the `id` of a line, or the `next` of the page before."
        raise InvalidInputError([FieldProblem("/after", detail)])
    return number


def _in_order(rows: Iterable[LogRow], after: int | None) -> list[LogRow]:
    each_once = {row.seq: row for row in rows if after is None or row.seq > after}
    return [each_once[seq] for seq in sorted(each_once)]
