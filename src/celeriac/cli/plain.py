"""The words of others in a terminal: they must not move its cursor, rename it, or look like ours.

Tasks, their authors and whoever submits choose names, results, errors and log lines. `plain` is the
only way to make a `Text` of such words, which keeps what stands in brackets from being markup, too.
"""

import sys
from typing import Final

from rich.text import Text

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
KEPT: Final = "\n\t"
_CONTROLS: Final = (*range(32), *range(127, 160))
_DIRECTIONS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""They would turn around what stands beside them."""
_HALVES: Final = range(0xD800, 0xE000)
"""Half of a surrogate pair, which only JSON can write and no terminal can show."""
_HARMFUL: Final = {
    code: REPLACEMENT for code in (*_CONTROLS, *_DIRECTIONS, *_HALVES) if chr(code) not in KEPT
}


def harmless(words: object) -> str:
    """Write words of others so that a terminal shows them and does nothing else."""
    return str(words).replace("\r\n", "\n").translate(_HARMFUL)


def one_line(words: object) -> str:
    """Write words of others on one line."""
    return " ".join(harmless(words).split())


def plain(words: object, style: str = "") -> Text:
    """Make a text of words of others."""
    return Text(harmless(words), style)


def print_words(words: str) -> None:
    """Print words of others: harmless in a terminal, and for programs as far as they are text."""
    print(harmless(words) if sys.stdout.isatty() else words.encode(errors="replace").decode())
