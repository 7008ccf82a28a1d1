"""The words that choose runs, in a query or in a body."""

from typing import Annotated

from pydantic import BaseModel, Field

from celeriac.runs import RunState

Word = Annotated[str, Field(min_length=1)]
"""An empty one would be passed over, and so mean more runs than the others do."""


class RunWords(BaseModel):
    """Which runs are meant: those that meet all of it."""

    task: list[Word] = Field([], description="Any of these tasks.")
    state: list[RunState] = Field([], description="Any of these states.")
    tag: list[Word] = Field([], description="All of these tags.")
    queue: str | None = None
    worker: str | None = None
    parent: str | None = Field(None, description="The run that started it.")
    root: str | None = Field(None, description="The run that all began with.")
    fingerprint: str | None = Field(None, description="Failures of this group of `/failures`.")
    since: str | None = Field(None, description="An instant (RFC 3339) or an age such as `1h`.")
    until: str | None = Field(None, description="The same; excluded.")
    finished_since: str | None = Field(None, description="When it ended, written likewise.")
    finished_until: str | None = Field(None, description="The same; excluded.")
    q: str | None = Field(
        None, description="Text in arguments, result or error; of 7 days without `since`."
    )


class RunPath(BaseModel):
    run_id: str = Field(description="The run's identifier.")
