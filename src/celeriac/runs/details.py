"""What more there is to tell of one run: its lines, its attempts, its relatives, what happens."""

from collections.abc import AsyncGenerator, Callable
from functools import partial

from celeriac.events import Event
from celeriac.runs.attempts import Attempt, attempts_of
from celeriac.runs.follow import News, follow
from celeriac.runs.history import RunHistory
from celeriac.runs.lineage import Lineage, lineage_of
from celeriac.runs.log import LogPage, RunLog
from celeriac.runs.run import Run
from celeriac.runs.stream import EventStream


class RunDetails:
    """Tells of a run what a list of runs does not."""

    def __init__(
        self,
        stream: EventStream,
        history: RunHistory,
        get: Callable[[str], Run],
        listen: Callable[..., AsyncGenerator[Run | list[Event], None]],
    ) -> None:
        self._log = RunLog(stream, history)
        self._history = history
        self._get = get
        self._listen = listen

    def follow(
        self, run_id: str, after: str | None = None, *, past_death: bool = False
    ) -> AsyncGenerator[list[News], None]:
        """Give the run, the lines that it logs after the line `after`, and its other events.

        `past_death`: a dead letter is no end, since it can be replayed.

        Raises:
            RunNotFoundError, InvalidInputError, ResultsUnavailableError
        """
        listen = partial(self._listen, past_death=past_death)
        return follow(listen, self._log, run_id, after)

    def logs(self, run_id: str, after: str | None = None, limit: int = 1000) -> LogPage:
        """Give what a run has logged, from behind the line `after`.

        Raises:
            RunNotFoundError, InvalidInputError, HistoryUnavailableError, ResultsUnavailableError
        """
        return self._log.page(self._get(run_id), after, limit)

    def attempts(self, run: Run) -> list[Attempt]:
        """Give the attempts of a run, the first one first.

        Raises:
            HistoryUnavailableError
        """
        return attempts_of(run, self._history.attempts(run.id))

    def lineage(self, run: Run, cursor: str | None = None, limit: int = 50) -> Lineage:
        """Find a run's relatives, of its children one page.

        Raises:
            InvalidInputError: the cursor is none.
            HistoryUnavailableError, ResultsUnavailableError
        """
        return lineage_of(run, self._get, self._history, cursor, limit)
