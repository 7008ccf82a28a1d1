"""Dead letters while others look at them, and while more come."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from celeriac.runs import DeadLetters, LetterProgress, LetterSelection, Runs, dead_letters
from celeriac.runs.letter_boxes import Found, LetterCount, RawLetter
from celeriac.settings import load_settings

QUEUE = "celery_see"


class _Box:
    """Two letters; how many there seem to be is told by the test."""

    def __init__(self) -> None:
        self.told = [LetterCount(2)]
        self.removed: list[bytes] = []

    def counts(self, queues: Sequence[str]) -> dict[str, LetterCount]:
        now = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        return {name: now if name == QUEUE else LetterCount(0) for name in queues}

    def go_through(self, queue: str, most: int) -> Iterator[Found]:
        for body in (b"one", b"two")[:most]:
            yield Found(RawLetter(queue, body, {}), partial(self.removed.append, body))


@pytest.fixture
def box() -> _Box:
    return _Box()


@pytest.fixture
def letters(tmp_path: Path, box: _Box, monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    settings = load_settings(
        join_stack=False, broker_url="amqp://nobody", redis_url="redis://nobody", data_dir=tmp_path
    )
    found = Runs.of(settings).dead_letters
    monkeypatch.setattr(found, "_box", box)
    return found


def test_letter_that_came_after_they_were_counted_is_counted_too(
    letters: DeadLetters, box: _Box
) -> None:
    box.told = [LetterCount(1)]

    found = letters.find()

    assert (found.total, len(found.letters), letters.known_counts) == (2, 2, {QUEUE: 2})


def _discarded(letters: DeadLetters) -> LetterProgress:
    return [*letters.discard(LetterSelection(all=True))][-1]


def test_action_waits_for_who_only_looks(letters: DeadLetters, box: _Box) -> None:
    in_hand = LetterCount(0, is_looked_at=True)
    box.told = [in_hand, in_hand, LetterCount(2)]

    assert _discarded(letters).finished
    assert box.removed == [b"one", b"two"]


def test_action_does_not_wait_for_ever(
    letters: DeadLetters, box: _Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "FREE_WITHIN_S", 0.0)
    box.told = [LetterCount(0, is_looked_at=True)]

    assert "Somebody else looks" in str(_discarded(letters).stopped)
    assert box.removed == []


def test_numbers_have_letters_in_hand_and_queues_without_any_too(
    tmp_path: Path, box: _Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(
        join_stack=False,
        broker_url="amqp://nobody",
        redis_url="redis://nobody",
        data_dir=tmp_path,
        queues="idle",
    )
    runs = Runs.of(settings)
    monkeypatch.setattr(runs.dead_letters, "_box", box)

    for told in LetterCount(2), LetterCount(0, is_looked_at=True):
        box.told = [told]
        assert runs.measures._letters() == {QUEUE: 2, "idle": 0}
        assert runs.dead_letters.total() == 2
