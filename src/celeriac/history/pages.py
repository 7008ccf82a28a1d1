"""Pages of runs, newest first, each from where the last one ended.

A page begins at a place in the order, not at a number of rows, so that runs which come in meanwhile
shift nothing, and the thousandth page costs what the first does.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import NamedTuple

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.history.row import RunRow


class Place(NamedTuple):
    """Where a run stands in the order of pages."""

    created_at: int
    id: str


@dataclass(frozen=True)
class RunPage:
    """Runs, and where to go on; None on the last page."""

    runs: tuple[RunRow, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class RunCount:
    """How many runs there are; when `capped`, there are more than `total`."""

    total: int
    capped: bool

    @property
    def words(self) -> str:
        """Write it for people."""
        more = "more than " if self.capped else ""
        return f"{more}{self.total:,} run{'' if self.total == 1 else 's'}"


def cursor(place: Place) -> str:
    """Write a place as text that says nothing to anybody else."""
    written = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(written.encode()).decode().rstrip("=")


def place_of(text: str) -> Place:
    """Read what `cursor` has written.

    Raises:
        InvalidInputError: it was written by somebody else, or cut.
    """
    try:
        match json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))):
            case [int(created_at), str(run_id)] if abs(created_at) < 2**63:
                run_id.encode()  # Half a surrogate pair would be refused only by the database.
                return Place(created_at, run_id)
    except (ValueError, RecursionError):
        pass
    detail = "This is no cursor that a page of runs has given. Leave it out to begin anew."
    raise InvalidInputError([FieldProblem("/cursor", detail)])
