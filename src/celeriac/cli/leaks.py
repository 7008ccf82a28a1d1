"""Where a log shows a secret of the settings; what is found is named and never shown."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from celeriac.cli.input_file import STDIN, opened
from celeriac.masking import masked
from celeriac.setting_secrets import secrets_of
from celeriac.settings import Settings

LOCK = "lock"
LONGEST_LINE_BYTES = 65_536
ADDRESS = "a password in an address"
MOST_NUMBERS = 5
ADVICE = (
    "Give that setting another secret, and delete the log: whoever could read it has the old one."
)


@dataclass
class Search:
    """What was searched, and in which of its lines each secret shows."""

    name: str
    lines: int = 0
    found: dict[str, list[int]] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Say for each secret where it shows."""
        for secret, numbers in self.found.items():
            word = "line" if len(numbers) == 1 else "lines"
            places = ", ".join(map(str, numbers[:MOST_NUMBERS]))
            more = len(numbers) - MOST_NUMBERS
            yield (
                f"{secret} shows in {self.name}, {word} {places}"
                f"{f' and {more:,} more' if more > 0 else ''}. {ADVICE}"
            )


class Secrets:
    """The secrets of the settings, under the names of their variables."""

    def __init__(self, settings: Settings) -> None:
        self._forms: Mapping[str, Sequence[str]] = {
            f"CELERIAC_{name.upper()}": forms for name, forms in secrets_of(settings).items()
        }

    def __len__(self) -> int:
        """Give how many settings hold any."""
        return len(self._forms)

    def shown_by(self, text: str) -> list[str]:
        """Name the secrets that a text shows."""
        if masked(text) == text:
            return []
        shown = [name for name, forms in self._forms.items() if any(f in text for f in forms)]
        return shown or [ADDRESS]

    def search(self, log: str) -> Search:
        """Look for them in a log, line by line; `-` is standard input.

        Raises:
            typer.BadParameter: it cannot be read.
        """
        search = Search("standard input" if log == STDIN else log)
        for line in _lines_of(log):
            search.lines += 1
            for secret in self.shown_by(line.decode(errors="replace")):
                search.found.setdefault(secret, []).append(search.lines)
        return search


def logs_of(data_dir: Path) -> list[str]:
    """Give the logs in the data directory, and into which files a running `celeriac up` prints.

    Only Linux tells the latter.
    """
    found = list(data_dir.glob("*.log"))
    with suppress(OSError):
        pid = (data_dir / LOCK).read_text().strip()
        found += [Path(os.readlink(f"/proc/{pid}/fd/{number}")) for number in (1, 2) if pid]
    return [str(path) for path in dict.fromkeys(found) if path.is_file()]


def _lines_of(log: str) -> Iterator[bytes]:
    with opened(log) as file:
        while line := file.readline(LONGEST_LINE_BYTES):
            yield line
