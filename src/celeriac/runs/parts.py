"""Several questions to several servers at once, so that one that is away keeps nobody waiting."""

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Generic, TypeVar

from celeriac.errors import CeleriacError

T = TypeVar("T")
ANSWER_WITHIN_S = 1.0
GOOD_FOR_S = 1.0
"""Whoever asks again so soon gets the same answer: a hundred viewers cost what one costs."""
PROBLEM_GOOD_FOR_S = 5.0
"""A server that was away is asked less often: each question to it takes its full time."""
OLD_S = 60.0
"""How long an answer is better than none while a slow server is asked anew."""
MOST_KEPT = 64
LATE = "It did not answer in time."


@dataclass(frozen=True)
class Part(Generic[T]):
    """An answer, or in its place why there is none."""

    value: T | None = None
    problem: str | None = None


@dataclass
class Asked(Generic[T]):
    """A question under way or answered, and the answer before it."""

    answer: Future[T]
    good_for_s: float
    earlier: "Asked[T] | None" = None
    answered_s: float = field(default=float("inf"), init=False)

    def __post_init__(self) -> None:
        """Note when the answer comes: however long it took, it is new then."""
        self.answer.add_done_callback(self._note)

    def _note(self, _answer: Future[T]) -> None:
        self.answered_s = time.monotonic()
        self.earlier = None

    def is_good(self) -> bool:
        """Tell whether the answer may be given once more, or is still to come."""
        if not self.answer.done():
            return True
        good_for_s = PROBLEM_GOOD_FOR_S if self.answer.exception() else self.good_for_s
        return time.monotonic() - self.answered_s < good_for_s

    def at_hand(self) -> Future[T] | None:
        """Give the answer before this one, unless it tells of a time long gone."""
        earlier = self.earlier
        if earlier is None or time.monotonic() - earlier.answered_s > OLD_S:
            return None
        return earlier.answer


class Parts:
    """Asks in threads of its own; each question is on its way once at most, whoever asks it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: dict[Hashable, Asked[Any]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def ask(
        self, key: Hashable, question: Callable[[], T], good_for_s: float = GOOD_FOR_S
    ) -> Asked[T]:
        """Begin to ask, unless the same question was asked just now."""
        with self._lock:
            asked = self._asked.get(key)
            if asked is None or not asked.is_good():
                asked = Asked(self._threads().submit(question), good_for_s, asked)
                self._asked.pop(key, None)
                self._asked[key] = asked
                while len(self._asked) > MOST_KEPT:
                    del self._asked[next(iter(self._asked))]
        return asked

    def _threads(self) -> ThreadPoolExecutor:
        # Made when it is needed, so that no process forks with threads.
        if self._pool is None:
            self._pool = ThreadPoolExecutor(8, thread_name_prefix="parts")
        return self._pool


def answered(asked: Asked[T], until_s: float) -> Part[T]:
    """Wait for an answer until an instant of `time.monotonic()`, then take the one before it."""
    before = asked.at_hand()
    try:
        return _part(asked.answer, max(0.0, until_s - time.monotonic()))
    except FutureTimeoutError:
        return Part(problem=LATE) if before is None else _part(before, 0)


def _part(answer: "Future[T]", within_s: float) -> Part[T]:
    try:
        return Part(answer.result(within_s))
    except CeleriacError as error:
        return Part(problem=str(error))
