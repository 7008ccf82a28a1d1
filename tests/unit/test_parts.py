"""Several questions at once: each asked once for all, and none waited for too long."""

import time
from threading import Event

import pytest

from celeriac.errors import HistoryUnavailableError
from celeriac.runs import parts
from celeriac.runs.parts import LATE, Parts, answered


def _soon() -> float:
    return time.monotonic() + 5


def test_answer_and_problem_are_told_apart() -> None:
    asked = Parts()

    def away() -> int:
        raise HistoryUnavailableError("The disk is full.")

    assert answered(asked.ask("good", lambda: 7), _soon()).value == 7
    missing = answered(asked.ask("bad", away), _soon())
    assert (missing.value, missing.problem) == (None, "The disk is full.")


def test_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        answered(Parts().ask("fault", lambda: 1 // 0), _soon())


def test_late_answer_is_missing_and_comes_to_whoever_asks_next() -> None:
    asked, may_go = Parts(), Event()
    question = asked.ask("slow", lambda: may_go.wait(10) and 7)

    assert answered(question, time.monotonic() + 0.05).problem == LATE

    may_go.set()
    assert answered(asked.ask("slow", lambda: 8), _soon()).value == 7


def test_many_who_ask_at_once_cost_one_question() -> None:
    asked, calls = Parts(), []

    answers = [asked.ask("same", lambda: calls.append(1)) for _ in range(100)]

    assert [answered(answer, _soon()).problem for answer in answers] == [None] * 100
    assert len(calls) == 1


def test_answer_is_asked_for_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Parts()
    answered(asked.ask("now", lambda: 1), _soon())
    monkeypatch.setattr(parts, "time", _Later(parts.GOOD_FOR_S + 0.1))

    assert answered(asked.ask("now", lambda: 2), _Later(0).monotonic() + 5).value == 2


def test_server_that_was_away_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Parts()

    def away() -> int:
        raise HistoryUnavailableError("away")

    answered(asked.ask("now", away), _soon())
    monkeypatch.setattr(parts, "time", _Later(parts.GOOD_FOR_S + 0.1))

    assert answered(asked.ask("now", lambda: 2), _soon()).problem == "away"


def test_answers_are_not_kept_without_end() -> None:
    asked = Parts()

    for number in range(10 * parts.MOST_KEPT):
        answered(asked.ask(number, lambda: None), _soon())

    assert len(asked._asked) <= parts.MOST_KEPT


def test_slow_answer_is_new_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_go = Parts(), Event()
    slow = asked.ask("slow", lambda: may_go.wait(10) and 7)
    monkeypatch.setattr(parts, "time", _Later(parts.GOOD_FOR_S + 0.5))
    may_go.set()
    answered(slow, _Later(0).monotonic() + 9)

    assert answered(asked.ask("slow", lambda: 8), _Later(0).monotonic() + 9).value == 7


def test_answer_before_is_given_while_a_new_one_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_go = Parts(), Event()
    answered(asked.ask("slow", lambda: 7), _soon())
    monkeypatch.setattr(parts, "time", _Later(parts.GOOD_FOR_S + 0.1))

    slow = asked.ask("slow", lambda: may_go.wait(10) and 8)

    assert answered(slow, time.monotonic()).value == 7
    may_go.set()
    assert answered(slow, _Later(0).monotonic() + 9).value == 8


class _Later:
    """A clock that is ahead."""

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s

    def monotonic(self) -> float:
        return time.monotonic() + self._by_s
