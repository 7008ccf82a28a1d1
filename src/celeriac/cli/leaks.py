"""Where a log shows a secret of the settings; what is found is named and never shown."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from celeriac.cli.input_file import STDIN, opened
from celeriac.masking import masked
from celeriac.setting_secrets import know_settings, secrets_of
from celeriac.settings import Settings

LOCK = "lock"
PART_BYTES = 65_536
ADDRESS = "a password in an address"
MOST_NUMBERS = 5
TOKEN = "an API token"  # noqa: S105 - what it is called
SESSION = "a session's cookie"
OPENS = {
    TOKEN: re.compile(r"\bcel_[0-9a-f]{12}_[A-Za-z0-9_-]{20,}"),
    SESSION: re.compile(r"celeriac[_-]session=[A-Za-z0-9_.-]{20,}"),
}
"""What opens doors and is in no setting; each looks like nothing else."""
ADVICE = (
    "Give that setting another secret, and delete the log: whoever could read it has the old one."
)
OTHER_ADVICE = {
    TOKEN: "Revoke it, and delete the log: `celeriac tokens list`, `celeriac tokens revoke ID`.",
    SESSION: "Sign out whose it is, and delete the log: `celeriac users sign-out NAME`.",
}


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
                f"{f' and {more:,} more' if more > 0 else ''}. {OTHER_ADVICE.get(secret, ADVICE)}"
            )


class Secrets:
    """The secrets of the settings, set or made at a start, under the names of their variables."""

    def __init__(self, settings: Settings) -> None:
        from celeriac.stack.folder import made_secrets

        made = made_secrets(settings.data_dir)
        unset = {name: each for name, each in made.items() if getattr(settings, name) is None}
        settings = settings.model_copy(update=unset)
        know_settings(settings)
        self._forms: Mapping[str, Sequence[str]] = {
            f"CELERIAC_{name.upper()}": forms for name, forms in secrets_of(settings).items()
        }

    def __len__(self) -> int:
        """Give how many settings hold any."""
        return len(self._forms)

    def shown_by(self, text: str) -> list[str]:
        """Name the secrets that a text shows."""
        opened = [name for name, pattern in OPENS.items() if pattern.search(text)]
        if masked(text) == text:
            return opened
        shown = [name for name, forms in self._forms.items() if any(f in text for f in forms)]
        return [*opened, *(shown or [ADDRESS])]

    def search(self, log: str) -> Search:
        """Look for them in a log, line by line; `-` is standard input.

        Raises:
            typer.BadParameter: it cannot be read.
        """
        search = Search("standard input" if log == STDIN else log)
        for search.lines, part in _parts_of(log):
            for secret in self.shown_by(part.decode(errors="replace")):
                numbers = search.found.setdefault(secret, [])
                if search.lines not in numbers[-1:]:
                    numbers.append(search.lines)
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


def _parts_of(log: str) -> Iterator[tuple[int, bytes]]:
    """Give the lines with their numbers; of a long one, parts that overlap: a secret is in one."""
    number, before = 0, b""
    with opened(log) as file:
        while part := file.readline(PART_BYTES):
            number += not before
            yield number, before + part
            before = b"" if part.endswith(b"\n") else part
