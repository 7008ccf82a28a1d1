"""What a command changes goes to the audit trail, in the name of whoever types it.

A web elsewhere writes down by itself what it is asked to change.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from celeriac.errors import CeleriacError
from celeriac.settings import Settings

if TYPE_CHECKING:
    from celeriac.access import Entry

OK = "ok"
STOPPED = "stopped"
FAILED = "error"

log = logging.getLogger(__name__)


@dataclass
class Deed:
    """What is done, to what; the command adds what it knows at its end."""

    target: str
    detail: dict[str, Any]


@contextmanager
def recorded(settings: Settings, action: str, target: str = "", **detail: object) -> Iterator[Deed]:
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


def _record(settings: Settings, action: str, deed: Deed, outcome: str) -> None:
    from celeriac.access import Entry
    from celeriac.cli.shell import somebody_here

    told = {name: value for name, value in deed.detail.items() if value not in (None, "", [])}
    _write(settings, Entry.by(somebody_here(), action, deed.target, outcome=outcome, detail=told))


def _write(settings: Settings, entry: "Entry") -> None:
    """Write it; what was done is done, whatever keeps it out of the trail."""
    from celeriac.access import Access

    try:
        access = Access.of(settings)
        try:
            access.prepare()
            access.audit.record([entry])
        finally:
            access.close()
    except Exception as error:
        log.error("celeriac: Not in the audit trail (%s): %s", error, entry.as_line())
