"""The option `--url` of the command itself, for those commands that can ask a web elsewhere."""

from contextvars import ContextVar
from typing import Final

typed_url: ContextVar[str | None] = ContextVar("typed_url", default=None)
BY_HTTP: Final = ("submit", "run", "runs", "tasks", "login", "logout", "whoami")
"""Commands that take it."""
