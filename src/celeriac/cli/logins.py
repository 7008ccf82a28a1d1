"""Where this person is logged in: addresses of webs, each with the token that opens it.

One file in the person's own configuration folder that nobody else can read.
"""

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer

from celeriac.errors import ConfigurationError


@dataclass(frozen=True)
class Logins:
    """The tokens by address, and the address that was logged in to last."""

    path: Path
    last: str | None = None
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls) -> Self:
        """Read the file; without one, nobody is logged in anywhere.

        Raises:
            ConfigurationError: it is there and cannot be read.
        """
        path = Path(typer.get_app_dir("celeriac")) / "logins.json"
        try:
            kept: Any = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, kept["last"], dict(kept["tokens"]))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} cannot be read ({error}). Remove it.") from None

    def with_token(self, url: str, token: str) -> None:
        """Keep a token."""
        self._write(url, {**self.tokens, url: token})

    def without(self, url: str) -> None:
        """Forget a token."""
        tokens = {each: token for each, token in self.tokens.items() if each != url}
        self._write(None if self.last == url else self.last, tokens)

    def _write(self, last: str | None, tokens: dict[str, str]) -> None:
        """Put a new file in the place of the old one, so that no reader finds half of it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It is made with mode 0600.
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".logins-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"last": last, "tokens": tokens}, file)
            Path(name).replace(self.path)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}.") from None
