"""What a command changes goes to the audit trail, in the name of whoever types it.

It is written beside the command, whose output waits for no history. A web elsewhere writes down by
itself what it is asked to change.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import typer

from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    from celeriac.access import Entry
    from celeriac.settings import Settings

OK = "ok"
STOPPED = "stopped"
FAILED = "error"
WAIT_S: Final = 1
"""How long an entry waits for a history that is locked: a person waits for the command."""
LAST_WORDS_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass
class Deed:
    """What is done, to what; the command adds what it knows at its end."""

    target: str
    detail: dict[str, Any]


@contextmanager
def recorded(
    settings: "Settings", action: str, target: str = "", **detail: object
) -> Iterator[Deed]:
    """Add one entry of what happens within, however it ends; what the web calls `action`."""
    deed, outcome = Deed(target, detail), OK
    try:
        yield deed
    except typer.Exit as ended:  # It has told already how it went.
        outcome = _outcome_of(ended.exit_code)
        raise
    except CeleriacError as error:
        outcome = error.code
        raise
    except BaseException as error:
        outcome = STOPPED if isinstance(error, KeyboardInterrupt) else FAILED
        raise
    finally:
        _record(settings, action, deed, outcome)


def _outcome_of(exit_code: int) -> str:
    from celeriac.cli.show import INTERRUPTED

    return {0: OK, INTERRUPTED: STOPPED}.get(exit_code, FAILED)


class _Writing(Thread):
    """Writes one entry."""

    def __init__(self, settings: "Settings", entry: "Entry") -> None:
        super().__init__(name="audit", daemon=True)
        self._settings = settings
        self.entry = entry

    def run(self) -> None:
        """Write it; what was done is done, whatever keeps it out of the trail."""
        try:
            _write(self._settings, self.entry)
        except Exception as error:
            _log(self.entry, error)


_begun: list[_Writing] = []


def finish() -> None:
    """Let what was printed be read, then wait for the trail, a few seconds at most."""
    with suppress(OSError):
        sys.stdout.flush()
    while _begun:
        writing = _begun.pop()
        with suppress(KeyboardInterrupt):
            writing.join(LAST_WORDS_S)
        if writing.is_alive():
            _log(writing.entry, "nobody waits any longer")


def _record(settings: "Settings", action: str, deed: Deed, outcome: str) -> None:
    if not settings.has_history:
        return
    from celeriac.access import Entry
    from celeriac.cli.shell import somebody_here

    told = {name: value for name, value in deed.detail.items() if value not in (None, "", [])}
    entry = Entry.by(somebody_here(), action, deed.target, outcome=outcome, detail=told)
    _begun.append(writing := _Writing(settings, entry))
    writing.start()


def _write(settings: "Settings", entry: "Entry") -> None:
    from celeriac.access import Access

    access = Access.of(settings, wait_s=WAIT_S)
    try:
        access.prepare()
        access.audit.record([entry])
    finally:
        access.close()


def _log(entry: "Entry", why: object) -> None:
    log.error("celeriac: Not in the audit trail (%s): %s", why, entry.as_line())
