"""Counts of durations by size, from which percentiles are read: a histogram with even proportions.

Each bin is 9 % wider than the one before it, so a percentile is within 4.5 % of the exact one, and
the durations from a microsecond to a year need fewer than 360 bins however many there are. Unlike
percentiles, histograms of two spans of time add up to that of both.
"""

import json
from collections import Counter
from collections.abc import Mapping
from math import exp2, floor, log2

BINS_AN_OCTAVE = 8
Histogram = Counter[int]


def bin_of(duration_us: int) -> int:
    """Give the bin that a duration falls into."""
    return floor(BINS_AN_OCTAVE * log2(max(duration_us, 1)))


def percentile_s(histogram: Histogram, share: float) -> float | None:
    """Give the duration in seconds that this share (0..1) of all is not above."""
    left = share * histogram.total()
    for number in sorted(histogram):
        left -= histogram[number]
        if left <= 0 and histogram.total():
            return exp2((number + 0.5) / BINS_AN_OCTAVE) / 1_000_000
    return None


def dumped(counts: Counter[int] | Counter[str]) -> str:
    """Write a histogram, or other counts, as JSON."""
    return json.dumps({key: n for key, n in counts.items() if n > 0}, separators=(",", ":"))


def histogram(text: str) -> Histogram:
    """Read a histogram."""
    return numbered(json.loads(text))


def numbered(counts: Mapping[str, int]) -> Histogram:
    """Make a histogram of what JSON has, whose keys are texts."""
    return Counter({int(key): n for key, n in counts.items()})
