"""Where tables are printed: a terminal has a width, a pipe has none."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

NO_WIDTH = 100_000
"""Off a terminal nothing is cut or wrapped: the next program wants whole words."""


def printer() -> Console:
    """Give what prints on standard output; `COLUMNS` counts on a terminal and off one."""
    console = Console()
    if console.is_terminal or "COLUMNS" in console._environ:
        return console
    return Console(width=NO_WIDTH)


def print_fitting(tables: Sequence[Table]) -> None:
    """Print the first table that is not too wide, or else the last one."""
    console = printer()
    free = console.options.update(max_width=NO_WIDTH)
    for table in tables:
        if Measurement.get(console, free, table).maximum <= console.width:
            break
    console.print(table)
