"""The watch over dead letters looks at them when there are more than before, and is counted."""

from celeriac.runs.letter_boxes import LetterCount
from celeriac.runs.letter_tally import LetterTally
from celeriac.runs.letter_watch import LetterWatch


class _Letters:
    def __init__(self) -> None:
        self.now = LetterCount(0)
        self.looks = 0

    def standing(self) -> dict[str, LetterCount]:
        return {"celery_see": self.now}

    def tell(self) -> int:
        self.looks += 1
        return 0


def _looks(*counts: LetterCount) -> int:
    letters = _Letters()
    watch = LetterWatch(letters)
    for letters.now in counts:
        watch.look()
    return letters.looks


def test_letters_are_looked_at_once() -> None:
    assert _looks(LetterCount(3), LetterCount(3), LetterCount(3)) == 1


def test_more_letters_are_looked_at() -> None:
    assert _looks(LetterCount(3), LetterCount(4)) == 2


def test_fewer_letters_are_no_news_but_more_after_that_are() -> None:
    assert _looks(LetterCount(3), LetterCount(0)) == 1
    assert _looks(LetterCount(3), LetterCount(0), LetterCount(2)) == 2


def test_somebody_who_looks_is_no_news() -> None:
    assert _looks(LetterCount(300), LetterCount(100, is_looked_at=True), LetterCount(300)) == 1


def test_watch_that_need_not_tell_only_counts() -> None:
    letters = _Letters()
    letters.now = LetterCount(3)

    LetterWatch(letters, tells=False).look()

    assert letters.looks == 0


def test_number_is_unknown_until_the_broker_tells() -> None:
    tally = LetterTally()
    assert tally.known is None

    tally.hear({"celery_see": LetterCount(0), "reports": LetterCount(2)})

    assert tally.known == {"reports": 2}


def test_letters_that_somebody_has_in_hand_still_count() -> None:
    tally = LetterTally()

    tally.hear({"celery_see": LetterCount(5)})
    tally.hear({"celery_see": LetterCount(1, is_looked_at=True)})
    assert tally.known == {"celery_see": 5}

    tally.hear({"celery_see": LetterCount(2)})
    assert tally.known == {"celery_see": 2}
