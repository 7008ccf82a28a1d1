"""A chart of coloured columns in a terminal, an eighth of a line exact."""

from collections.abc import Sequence

from rich.text import Text

BLOCKS = " ▁▂▃▄▅▆▇█"
GOOD, BAD = "green", "red"
Column = tuple[int, int]
"""How many succeeded, and how many did not."""


def chart(columns: Sequence[Column], width: int, height: int) -> Text:
    """Draw succeeded runs with the others on top, each column against the highest."""
    columns = fitted(columns, width)
    top = max((good + bad for good, bad in columns), default=0) or 1
    scaled = [_eighths(column, top, height) for column in columns]
    repeat = max(1, width // max(len(columns), 1))
    lines = []
    for line in range(height - 1, -1, -1):
        cells = (_cell(good - 8 * line, total - 8 * line) for good, total in scaled)
        lines.append(Text.assemble(*((char * repeat, style) for char, style in cells)))
    return Text("\n").join(lines)


def fitted(columns: Sequence[Column], width: int) -> list[Column]:
    """Add up neighbours, from the newest on, until no more columns are left than fit."""
    step = -(-len(columns) // max(width, 1)) or 1
    ends = range(len(columns), 0, -step)
    groups = [columns[max(0, end - step) : end] for end in ends]
    return [(sum(good for good, _ in g), sum(bad for _, bad in g)) for g in groups][::-1]


def _eighths(column: Column, top: int, height: int) -> tuple[int, int]:
    """Give the heights of the lower part and of both; what there is, is seen."""
    good, bad = column
    total = round((good + bad) / top * height * 8)
    total = max(total, (good > 0) + (bad > 0))
    lower = round(good / top * height * 8)
    return min(max(lower, 1 if good else 0), total - (1 if bad else 0)), total


def _cell(good: int, total: int) -> tuple[str, str]:
    """Draw one character: how far each part reaches into it, in eighths."""
    good, total = max(0, min(good, 8)), max(0, min(total, 8))
    if good == total:
        return BLOCKS[total], GOOD
    if good == 0:
        return BLOCKS[total], BAD
    if total == 8:
        return BLOCKS[good], f"{GOOD} on {BAD}"
    # Two colours and the background are one too many for a character: the failure is the news.
    return BLOCKS[total], BAD
