"""A run that has been checked and only needs to be published."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.catalog import Call
from celeriac.runs.options import SubmitOptions
from celeriac.runs.run import Run


@dataclass(frozen=True)
class Draft:
    """A run as it will be, and what its message says besides."""

    run: Run
    task_name: str
    call: Call
    options: SubmitOptions
    expires: datetime | None = None

    @property
    def headers(self) -> dict[str, Any]:
        """Give what the message tells a worker, so that its events tell it to everybody.

        They know it then even when the event of the submission was lost.
        """
        told = {"celeriac_tags": self.run.tags, "celeriac_resubmit_of": self.run.resubmit_of}
        return {name: value for name, value in told.items() if value}
