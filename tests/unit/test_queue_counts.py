"""RabbitMQ calls a queue empty that does not answer in time; nobody must believe that."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from celeriac.errors import BrokerUnavailableError
from celeriac.runs import queue_counts
from celeriac.runs.queue_counts import QueueCounts, counts_of


class _Channel:
    """Answers with these counts of messages, each after so many seconds."""

    def __init__(self, answers: Iterator[tuple[int, float]]) -> None:
        self.now_s = 0.0
        self._answers = answers

    def queue_declare(self, name: str, passive: bool) -> SimpleNamespace:
        ready, took_s = next(self._answers)
        self.now_s += took_s
        return SimpleNamespace(message_count=ready, consumer_count=0)


def _counts(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, float]) -> QueueCounts:
    channel = _Channel(iter(answers))
    monkeypatch.setattr(queue_counts, "time", SimpleNamespace(monotonic=lambda: channel.now_s))
    return counts_of(channel, "mail.dead")


def test_empty_queue_that_answers_at_once_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _counts(monkeypatch, (0, 0.01), (3, 0.01)) == QueueCounts(0, 0)


def test_empty_queue_that_took_long_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _counts(monkeypatch, (0, 0.26), (0, 0.3), (3, 0.6)) == QueueCounts(3, 0)


def test_queue_that_never_answers_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"mail\.dead"):
        _counts(monkeypatch, *[(0, 0.26)] * 100)
