"""A file that a command reads, or its standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import typer

STDIN = "-"


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file to read; standard input stays open.

    Raises:
        typer.BadParameter: it cannot be read.
    """
    if file == STDIN:
        yield sys.stdin.buffer
        return
    try:
        found = open(file, "rb")  # noqa: SIM115 - Closed below.
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}.") from None
    with found:
        yield found
