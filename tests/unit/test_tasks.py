"""The tasks that come along, as plain functions."""

import pytest

from celeriac.tasks import text
from celeriac.tasks.primes import SEGMENT, count_primes


@pytest.mark.parametrize(
    ("given", "reversed_"),
    [
        ("", ""),
        ("abc", "cba"),
        ("noe\u0308l", "le\u0308on"),
        ("a👩‍👩‍👧‍👦b", "b👩‍👩‍👧‍👦a"),
        ("🇧🇩🇫🇮", "🇫🇮🇧🇩"),
        ("👍🏽!", "!👍🏽"),
        ("line\r\nfeed", "deef\r\nenil"),
    ],
)
def test_reverse_keeps_grapheme_clusters_whole(given: str, reversed_: str) -> None:
    assert text.reverse(given) == reversed_


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("I love this wonderful product!", "positive"),
        ("The parcel arrived on Tuesday.", "neutral"),
        ("This is a horrible, useless mess.", "negative"),
    ],
)
def test_sentiment_labels(given: str, label: str) -> None:
    scores = text.sentiment(given)

    assert scores["label"] == label
    assert -1 <= scores["compound"] <= 1
    assert scores["positive"] + scores["neutral"] + scores["negative"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("limit", "primes"),
    [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (100, 25), (7919, 1000), (1_000_000, 78_498),
     (SEGMENT + 1, 23_000), (SEGMENT + 2, 23_000)],
)  # fmt: skip
def test_count_of_primes(limit: int, primes: int) -> None:
    assert count_primes(limit, report=lambda *_: None) == primes
