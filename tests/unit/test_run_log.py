"""What a run has logged, put together from the history and from what is not recorded yet."""

from datetime import UTC, datetime
from typing import cast

import pytest

from celeriac.events import Event, EventKind
from celeriac.history import LogRow, line_of
from celeriac.runs import Run, RunHistory, RunState
from celeriac.runs.log import RunLog
from celeriac.runs.stream import EventStream, Lines

RUN = Run(id="a", state=RunState.SUCCESS)
NOW = datetime.now(UTC)


def _line(place: int) -> Event:
    data = {"level": "INFO", "text": f"line {place}", "attempt": 1}
    return Event("a", EventKind.LOG, NOW, data, f"{place}-0")


class Kept:
    """The history and the stream: the lines before `begun` are recorded."""

    def __init__(self, lines: int, begun: int, seen_up_to: int | None = None) -> None:
        self._lines = [_line(place) for place in range(1, lines + 1)]
        self._begun = begun
        self._seen_up_to = seen_up_to
        self.searched = 0

    def logs(self, run_id: str, after: int | None, limit: int) -> list[LogRow]:
        recorded = map(line_of, self._lines[: self._begun - 1])
        return [row for row in recorded if after is None or row.seq > after][:limit]

    def unrecorded_from(self) -> str:
        return f"{self._begun}-0"

    def unrecorded_lines(self, run_id: str, after: str | None = None) -> Lines:
        self.searched += 1
        place = int((after or "0-0").partition("-")[0])
        if self._seen_up_to and place < self._seen_up_to:
            return Lines([], f"{self._seen_up_to}-0")
        return Lines([each for each in self._lines[self._begun - 1 :]])


def _log(kept: Kept) -> RunLog:
    return RunLog(cast(EventStream, kept), cast(RunHistory, kept))


def _all(log: RunLog, limit: int) -> list[str]:
    texts: list[str] = []
    after: str | None = None
    while True:
        page = log.page(RUN, after, limit)
        texts += [line.text for line in page.lines]
        if page.next is None:
            return texts
        after = page.next


@pytest.mark.parametrize("seen_up_to", [None, 20])
def test_pages_give_all_lines_though_looking_for_them_was_given_up_once(
    seen_up_to: int | None,
) -> None:
    kept = Kept(lines=30, begun=21, seen_up_to=seen_up_to)

    assert _all(_log(kept), limit=7) == [f"line {n}" for n in range(1, 31)]


def test_page_without_a_line_is_not_the_last_while_more_may_be_further_on() -> None:
    page = _log(Kept(lines=0, begun=1, seen_up_to=50)).page(RUN)

    assert (page.lines, page.next) == ([], "50-0")


def test_long_log_is_not_searched_in_the_stream_for_each_page() -> None:
    kept = Kept(lines=100, begun=100)

    _all(_log(kept), limit=10)

    assert kept.searched <= 2


def test_run_that_goes_on_may_say_more() -> None:
    page = _log(Kept(lines=3, begun=2)).page(_in_state(RunState.STARTED), "3-0")

    assert (page.lines, page.next) == ([], "3-0")


def _in_state(state: RunState) -> Run:
    """Give the run in another state."""
    return RUN.model_copy(update={"state": state})
