"""Statistics in the terminal."""

import pytest

from celeriac.cli.show_stats import NOTHING, duration, sparkline


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([0, 0], "  "),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([0, 0.001, 1000], " ▁█"),
        ([5], "█"),
    ],
)
def test_sparkline_draws_each_value_against_the_highest(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_sparkline_joins_neighbours_and_keeps_their_highest() -> None:
    assert sparkline([8, 0, 0, 0, 1, 0, 0, 8], width=4) == "█ ▁█"
    assert sparkline([8, 0, 0, 4, 8], width=3) == "█ █"


@pytest.mark.parametrize("width", [1, 2, 3, 7, 59, 60, 61])
def test_sparkline_is_never_wider_than_asked(width: int) -> None:
    assert len(sparkline([1.0] * 60, width)) <= width


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, NOTHING), (0, "0 ms"), (0.0421, "42 ms"), (1.234, "1.23 s"), (60, "1 min"),
     (75, "1 min 15 s"), (3600, "1 h"), (5400, "1 h 30 min")],
)  # fmt: skip
def test_duration_fits_its_size(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
