"""Shows runs as dead whose messages the broker put aside by itself.

Whoever has a letter of RabbitMQ in hand hides it from all others. So letters are only read, which
is quick, and given back before anything is told of them; what was told once is never told again.
"""

from collections.abc import Iterable

from celery import Celery
from celery.app.task import Context

from celeriac.backend import RunBackend
from celeriac.errors import DeadLetterError, RunNotFoundError
from celeriac.runs.history import RunHistory
from celeriac.runs.letter_boxes import LetterBox, RawLetter
from celeriac.runs.letter_signatures import LetterSignatures
from celeriac.runs.letters import Letter, call_of, letter_of
from celeriac.runs.store import RunStore

MOST_AT_ONCE = 5_000
"""How many new letters are kept in memory; for more, those before them are read again."""
_LIMIT = (
    "The broker gave its message out too often: it was handed back each time, or killed its worker."
)


class LetterNews:
    """What the dead letters tell that nobody has heard yet."""

    def __init__(self, app: Celery, box: LetterBox, store: RunStore, history: RunHistory) -> None:
        self._signatures = LetterSignatures(app)
        self._app = app
        self._box = box
        self._store = store
        self._history = history
        self._heard: dict[str, set[str]] = {}

    def tell(self, queues: Iterable[str]) -> int:
        """Show runs as dead, those whose messages expired as revoked; gives how many.

        What has expired is no dead letter, and is removed once that is told.

        Raises:
            BrokerUnavailableError, ResultsUnavailableError
        """
        return sum(self._tell_of_queue(queue) for queue in queues)

    def _tell_of_queue(self, queue: str) -> int:
        told = 0
        while news := self._news(queue):
            for letter, raw in news:
                told += self._tell_of(letter, raw)
                self._heard.setdefault(queue, set()).add(letter.id)
        return told

    def _news(self, queue: str) -> list[tuple[Letter, RawLetter]]:
        """Read what is new, and remove what expired and was told of."""
        heard, met = self._heard.get(queue, set()), set()
        news: list[tuple[Letter, RawLetter]] = []
        for found in self._box.go_through(queue, self._box.counts([queue])[queue].letters):
            letter = letter_of(found.letter, None)
            if letter.id not in heard:
                news.append((letter, found.letter))
                if len(news) == MOST_AT_ONCE:
                    return news
            elif letter.reason == "expired" and letter.run_id:
                found.remove()
            else:
                met.add(letter.id)
        self._heard[queue] = met
        return news

    def _tell_of(self, letter: Letter, raw: RawLetter) -> bool:
        backend = self._app.backend
        if letter.run_id is None or not isinstance(backend, RunBackend):
            return False
        # Anybody may have written a run's identifier into it.
        if self._signatures.problem_with(raw):
            return False
        if not self._is_untold(letter.run_id):
            return False
        if letter.reason == "expired":
            backend.mark_as_revoked(letter.run_id, "expired", request=request_of(raw))
        else:
            backend.mark_as_dead(letter.run_id, DeadLetterError(_LIMIT), request_of(raw))
        return True

    def _is_untold(self, run_id: str) -> bool:
        try:
            return not self._store.get(run_id).state.finished
        except RunNotFoundError:
            recorded = self._history.get_or_none(run_id)
            return recorded is None or not recorded.state.finished


def request_of(raw: RawLetter) -> Context:
    """Give what the message tells of its run, as a worker would know it."""
    args, kwargs = call_of(raw) or ([], {})
    delivery = {"routing_key": raw.queue, "exchange": ""}
    return Context(raw.lasting_headers, args=args, kwargs=kwargs, delivery_info=delivery)
