"""Tasks on text."""

from functools import cache
from typing import Annotated, TypedDict

import regex
from celery import shared_task
from pydantic import Field
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

Text = Annotated[str, Field(max_length=100_000)]


class Sentiment(TypedDict):
    """A text's mood: shares that add up to 1, and a compound score from -1 to 1."""

    label: str
    compound: float
    positive: float
    neutral: float
    negative: float


@shared_task(name="text.reverse")
def reverse(text: Text) -> str:
    """Reverse a text, keeping each visible character whole.

    Emoji, flags and letters with combining marks survive, since the text is cut into
    extended grapheme clusters.

    Args:
        text: The text to reverse.
    """
    return "".join(reversed(regex.findall(r"\X", text)))


@shared_task(name="text.sentiment")
def sentiment(text: Text) -> Sentiment:
    """Tell whether an English text sounds positive, neutral or negative.

    Uses the VADER lexicon. The label follows its authors' thresholds: positive from a compound
    score of 0.05, negative from -0.05.

    Args:
        text: The text to judge, in English.
    """
    scores = _analyzer().polarity_scores(text)
    compound = scores["compound"]
    label = "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"
    return Sentiment(
        label=label,
        compound=compound,
        positive=scores["pos"],
        neutral=scores["neu"],
        negative=scores["neg"],
    )


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
