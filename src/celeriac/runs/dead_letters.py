"""Dead letters: messages that can never be executed as they are. They wait until a person acts."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import Celery

from celeriac.backend import RunBackend
from celeriac.catalog import Catalog
from celeriac.errors import CeleriacError, FieldProblem, InvalidInputError, TransientError
from celeriac.marks import Keeping
from celeriac.queues import names_of
from celeriac.replays import once_more
from celeriac.runs.amqp_letter_box import AmqpBox
from celeriac.runs.history import RunHistory
from celeriac.runs.letter_boxes import Found, LetterBox, LetterCount, RawLetter, Send
from celeriac.runs.letter_news import LetterNews, request_of
from celeriac.runs.letter_progress import LetterProgress
from celeriac.runs.letter_signatures import LetterSignatures
from celeriac.runs.letter_tally import LetterTally
from celeriac.runs.letter_watch import LetterWatch
from celeriac.runs.letters import (
    Letter,
    LetterList,
    LetterSelection,
    call_of,
    groups_of,
    letter_of,
    run_id_of,
)
from celeriac.runs.pace import Pace
from celeriac.runs.redis_letter_box import RedisBox
from celeriac.runs.run import Run
from celeriac.runs.store import RunStore
from celeriac.settings import Settings
from celeriac.worker_events import kept_args

MOST_SHOWN = 200
FREE_WITHIN_S = 5.0
"""How long an action waits for letters in hand of somebody who only looks, which takes a moment."""
LOOK_EVERY_S = 0.1
NOT_SIGNED = "Messages are not signed here: CELERIAC_MESSAGE_KEYS is not set. Replay the letter."
SIGN_ONE_BY_ONE = "Name the letters that you have looked at; no group, and not all, can be signed."
Act = Callable[[RawLetter], bool]
"""Acts on a letter; tells whether that was done, and the letter may go."""


class DeadLetters:
    """Lists, replays and discards the dead letters of every queue."""

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        catalog: Catalog,
        store: RunStore,
        history: RunHistory,
    ) -> None:
        self._app = app
        self._keeping = Keeping(settings.redacted_names, settings.max_value_bytes)
        self._names = catalog.queues | set(settings.extra_queues)
        self._store = store
        self._history = history
        self._signatures = LetterSignatures(app)
        self._is_on_amqp = app.conf.broker_url.startswith("amqp")
        self._box: LetterBox = AmqpBox(app) if self._is_on_amqp else RedisBox(app)
        self._news = LetterNews(app, self._box, store, history)
        self._tally = LetterTally()

    @property
    def known_counts(self) -> Mapping[str, int] | None:
        """Give how many dead letters each queue had when the broker told last, without asking it.

        None where it has told nothing of late; `watch` keeps it up to date.
        """
        return self._tally.known

    def counts(self) -> dict[str, int]:
        """Give how many dead letters each queue has, where it has any.

        Raises:
            BrokerUnavailableError
        """
        return {name: count.letters for name, count in self.standing().items() if count.letters}

    def total(self) -> int:
        """Give how many dead letters there are, those that somebody has in hand among them.

        Raises:
            BrokerUnavailableError
        """
        return sum(self.numbers().values())

    def numbers(self) -> dict[str, int]:
        """Give how many each queue has, be it none, those that somebody has in hand among them.

        Raises:
            BrokerUnavailableError
        """
        names, known = self.standing(), self._tally.known or {}
        return {name: known.get(name, 0) for name in names}

    def standing(self) -> dict[str, LetterCount]:
        """Give how many dead letters each queue has, and whether somebody has more in hand.

        Raises:
            BrokerUnavailableError
        """
        names = self._names | names_of([*self._app.amqp.queues.values()])
        found = self._box.counts(sorted(names))
        self._tally.hear(found)
        return found

    def find(self, queue: str | None = None, group: str | None = None) -> LetterList:
        """Give the oldest letters of one queue or of all; a group by its name or how it begins.

        Raises:
            InvalidInputError: no group begins so, or several do.
            BrokerUnavailableError
        """
        counts = {n: c for n, c in self.counts().items() if queue in (None, n)}
        letters = [each for name in counts for each in self._look(name, MOST_SHOWN)]
        for name, count in Counter(letter.queue for letter in letters).items():
            self._tally.see(name, count)
        wanted = LetterSelection(queue=queue, group=group).with_whole_group(letters)
        shown = [letter for letter in letters if wanted.means(letter)]
        # More may have come since they were counted.
        total = max(sum(counts.values()), len(letters))
        return LetterList(letters=shown, groups=groups_of(letters), total=total)

    def replay(
        self, selection: LetterSelection, rate: float | None = None
    ) -> Generator[LetterProgress]:
        """Publish letters again, at most `rate` a second; each is removed once the broker has it.

        A letter replayed in the very moment in which the broker goes away may be both published
        and kept: its run is executed once, or is a dead letter twice. Where messages are signed,
        one whose signature is missing or wrong stays.

        Raises:
            InvalidInputError: nothing is selected, or no group of that name.
            BrokerUnavailableError: nothing was replayed.
        """
        return self._act(selection.check(), self._replaying(), Pace(rate))

    def sign(self, selection: LetterSelection) -> Generator[LetterProgress]:
        """Replay letters whatever their signature is, each signed anew.

        They are named one by one: whoever signs for a letter has looked at that very letter.

        Raises:
            InvalidInputError: messages are not signed, or no letter is named.
            BrokerUnavailableError: nothing was replayed.
        """
        if not self._signatures.are_needed:
            raise InvalidInputError([FieldProblem("", NOT_SIGNED)])
        if not selection.ids:
            raise InvalidInputError([FieldProblem("/ids", SIGN_ONE_BY_ONE)])
        return self._act(selection, self._replaying(sign=True), Pace(None))

    def discard(self, selection: LetterSelection) -> Generator[LetterProgress]:
        """Remove letters for good.

        Raises:
            InvalidInputError: nothing is selected, or no group of that name.
            BrokerUnavailableError: nothing was discarded.
        """
        return self._act(selection.check(), nullcontext(lambda letter: True), Pace(None))

    def watch(self) -> None:
        """Know how many there are, for as long as this process lives.

        Of what the broker puts aside by itself, which RabbitMQ alone does, it tells too.
        """
        LetterWatch(self, tells=self._is_on_amqp).start()

    def tell(self) -> int:
        """Show runs as dead whose messages the broker put aside by itself; gives how many.

        What expired in a queue is no dead letter but a revoked run, and is removed.

        Raises:
            BrokerUnavailableError, ResultsUnavailableError
        """
        return self._news.tell(self.counts())

    def _look(self, queue: str, most: int) -> Iterator[Letter]:
        # Others miss what is in hand, so it is read first, and given back.
        found = [each.letter for each in self._box.go_through(queue, most)]
        return map(self._shown, found)

    def _shown(self, raw: RawLetter) -> Letter:
        problem = self._signatures.problem_with(raw)
        # Anybody may have written a run's identifier into what is not signed.
        run = None if problem else self._run_of(raw)
        return letter_of(raw, run, self._arguments(raw), problem)

    def _arguments(self, raw: RawLetter) -> dict[str, Any] | None:
        """Give the arguments as the run's record has them, without secrets."""
        if call_of(raw) is None:
            return None
        return kept_args(self._app, self._keeping, _task_of(raw), request_of(raw))

    def _act(
        self, selection: LetterSelection, acting: AbstractContextManager[Act], pace: Pace
    ) -> Generator[LetterProgress]:
        counts = self._free_standing()
        if selection.queue is not None:
            counts = {name: count for name, count in counts.items() if name == selection.queue}
        if selection.names_part_of_group:
            looked = (each for name in counts for each in self._look(name, MOST_SHOWN))
            selection = selection.with_whole_group(looked)
        return self._acted(selection, acting, pace, counts)

    def _free_standing(self) -> dict[str, LetterCount]:
        until_s = time.monotonic() + FREE_WITHIN_S
        counts = self.standing()
        while any(each.is_looked_at for each in counts.values()) and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)
            counts = self.standing()
        return counts

    def _acted(
        self,
        selection: LetterSelection,
        acting: AbstractContextManager[Act],
        pace: Pace,
        counts: Mapping[str, LetterCount],
    ) -> Generator[LetterProgress]:
        progress = LetterProgress(total=sum(count.letters for count in counts.values()))
        yield progress
        try:
            with acting as act:
                for found in self._all(counts):
                    is_meant, is_done = selection.means(self._shown(found.letter)), False
                    if is_meant:
                        # All waiting comes first: between the two a letter is there twice.
                        for _ in pace.wait():
                            yield progress
                        if is_done := act(found.letter):
                            found.remove()
                            pace.spend()
                    progress = progress.plus(done=is_done, unsigned=is_meant and not is_done)
                    yield progress
        except TransientError as error:
            last = progress.model_copy(update={"stopped": str(error)})
        else:
            is_looked_at = any(count.is_looked_at for count in counts.values())
            last = progress.ended(is_looked_at=is_looked_at)
        with suppress(TransientError):
            self.standing()  # Pages tell the new number at once.
        yield last

    def _all(self, counts: Mapping[str, LetterCount]) -> Iterator[Found]:
        for name, count in counts.items():
            yield from self._box.go_through(name, count.letters)

    def _run_of(self, raw: RawLetter) -> Run | None:
        run_id = run_id_of(raw)
        if run_id is None:
            return None
        with suppress(CeleriacError):
            return self._store.get(run_id)
        return self._history.get_or_none(run_id)

    @contextmanager
    def _replaying(self, *, sign: bool = False) -> Iterator[Act]:
        with self._box.sending() as send:
            yield partial(self._send_again, send, sign)

    def _send_again(self, send: Send, sign: bool, raw: RawLetter) -> bool:
        """Send a letter, and then tell of it: what is told may otherwise not be true."""
        if not sign and self._signatures.problem_with(raw):
            return False
        fresh, at = self._signatures.signed(_fresh(raw)), datetime.now(UTC)
        send(fresh)
        backend, call = self._app.backend, call_of(raw) or ([], {})
        if isinstance(backend, RunBackend) and run_id_of(raw) is not None:
            with suppress(TransientError):  # Its worker tells that it starts, which tells as much.
                change = backend.replay(fresh.lasting_headers, *call, fresh.queue, at)
                self._store.tell_replayed(change)
        return True


def _fresh(raw: RawLetter) -> RawLetter:
    """Give a letter as it is sent again: its expiry has passed, and whoever replays it knows."""
    headers = {name: None if name == "expires" else v for name, v in raw.headers.items()}
    return RawLetter(raw.queue, raw.body, once_more(headers), raw.properties)


def _task_of(raw: RawLetter) -> str | None:
    task = raw.headers.get("task")
    return task if isinstance(task, str) else None
