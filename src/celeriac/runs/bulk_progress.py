"""How far a bulk action has come, as others see it and as it counts by itself."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import CeleriacError, TransientError
from celeriac.history import RunCount

REPORT_EVERY_S = 0.25
PROBLEMS_TOLD = 10

Outcome = bool | CeleriacError
"""Whether something was done with a run, or what is wrong."""


class BulkProblem(BaseModel):
    """Why one run was left as it was."""

    model_config = ConfigDict(frozen=True)

    run: str
    detail: str


class BulkProgress(BaseModel):
    """How far a bulk action has come."""

    model_config = ConfigDict(frozen=True)

    matched: int = Field(description="How many runs the filter found, counted up to 100,000.")
    capped: bool = Field(description="There are more than `matched`.")
    done: int = 0
    skipped: int = Field(0, description="Runs that needed nothing any more.")
    failed: int = 0
    problems: list[BulkProblem] = Field([], description="The first ten runs that failed, and why.")
    finished: bool = Field(False, description="All runs have been gone through.")
    stopped: str | None = Field(None, description="Why it could not go on; ask again later.")


@dataclass
class Tally:
    """What was done so far."""

    found: RunCount
    done: int = 0
    skipped: int = 0
    failed: int = 0
    problems: list[BulkProblem] = field(default_factory=list)
    reported_s: float = field(default_factory=time.monotonic)

    def add(self, run_ids: list[str], outcomes: Sequence[Outcome]) -> None:
        """Count what came of some runs; what is wrong with one of them alone stops nothing.

        Raises:
            TransientError: something that all of them need is away.
        """
        for run_id, outcome in zip(run_ids, outcomes, strict=True):
            if isinstance(outcome, bool):
                self.done += outcome
                self.skipped += not outcome
            elif not isinstance(outcome, TransientError):
                self._fail(run_id, outcome)
        for outcome in outcomes:
            if isinstance(outcome, TransientError):
                raise outcome

    def _fail(self, run_id: str, error: CeleriacError) -> None:
        self.failed += 1
        if len(self.problems) < PROBLEMS_TOLD:
            self.problems.append(BulkProblem(run=run_id, detail=str(error)))

    def is_due(self) -> bool:
        """Tell whether it is time to report again."""
        if time.monotonic() - self.reported_s < REPORT_EVERY_S:
            return False
        self.reported_s = time.monotonic()
        return True

    def progress(self, *, finished: bool = False, stopped: str | None = None) -> BulkProgress:
        """Give all of it as others see it."""
        gone_through = self.done + self.skipped + self.failed
        return BulkProgress(
            # The count came before the walk, which met a few more or less: runs do not stand still.
            matched=gone_through if finished else max(self.found.total, gone_through),
            capped=self.found.capped and not finished,
            done=self.done,
            skipped=self.skipped,
            failed=self.failed,
            problems=list(self.problems),
            finished=finished,
            stopped=stopped,
        )

    def words(self) -> str:
        """Say how far it came."""
        of = f"{'more than ' if self.found.capped else ''}{self.found.total:,}"
        gone_through = self.done + self.skipped + self.failed
        return f"Before that it went through {gone_through:,} of {of} runs."
