"""Actions on all runs that a filter finds, by HTTP."""

from http import HTTPStatus
from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import RunCount, RunFilter, run_filter
from celeriac.web.api.blueprint import NDJSON, answer, api
from celeriac.web.api.progress import lines_of
from celeriac.web.api.run_words import RunWords, Word
from celeriac.web.api.runs import RUNS
from celeriac.web.context import runs

MOST_IDS = 10_000


class BulkFilter(RunWords):
    """Which runs are meant: those that meet all of it."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Word] = Field([], max_length=MOST_IDS, description="Any of these runs.")

    def wanted(self) -> RunFilter:
        """Give the filter.

        Raises:
            InvalidInputError: a value makes no sense.
        """
        given = {name: value for name, value in self if value not in (None, [])}
        words = {n: v if isinstance(v, list) else [v] for n, v in given.items()}
        try:
            return run_filter(words)
        except InvalidInputError as error:
            named = [FieldProblem(f"/filter{p.pointer}", p.detail) for p in error.problems]
            raise InvalidInputError(named) from None


class BulkCancel(BaseModel):
    """The body of a bulk cancel."""

    model_config = ConfigDict(extra="forbid")

    filter: BulkFilter
    all: StrictBool = Field(
        False, description="Needed where the filter is empty: every run is meant."
    )
    dry_run: StrictBool = Field(False, description="Only count the runs.")


class BulkResubmit(BulkCancel):
    """The body of a bulk resubmit."""

    rate: Annotated[float, Field(strict=True, gt=0, le=100_000, allow_inf_nan=False)] | None = (
        Field(None, description="At most so many runs a second.")
    )
    again: StrictBool = Field(False, description="Also runs that have been submitted again before.")


class BulkCount(BaseModel):
    """How many runs would be gone through."""

    matched: int
    capped: bool = Field(description="There are more than `matched`.")


_STREAM: dict[int | str | HTTPStatus, Any] = {
    200: {
        "description": "Progress, one line at least every second; of a dry run, the count alone.",
        "content": {
            NDJSON: {"schema": {"$ref": "#/components/schemas/BulkProgress"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/BulkCount"}},
        },
    }
}


@api.post("/runs/cancel", tags=[RUNS], responses=_STREAM)
def cancel_all(body: BulkCancel) -> Response:
    """Cancel all runs that the filter finds and that have not ended.

    Closing the connection stops it, and so does losing the right to do it; what was cancelled
    stays cancelled.
    """
    wanted, bulk = body.filter.wanted(), runs().bulk
    if body.dry_run:
        return _count(bulk.count_to_cancel(wanted, every=body.all))
    return lines_of(bulk.cancel(wanted, every=body.all))


@api.post("/runs/resubmit", tags=[RUNS], responses=_STREAM)
def resubmit_all(body: BulkResubmit) -> Response:
    """Submit all runs again that the filter finds, those that failed unless it names states.

    Runs that have been submitted again before are skipped, so it can be repeated. Closing the
    connection stops it.
    """
    wanted, bulk = body.filter.wanted(), runs().bulk
    if body.dry_run:
        return _count(bulk.count_to_resubmit(wanted, every=body.all))
    return lines_of(bulk.resubmit(wanted, every=body.all, rate=body.rate, again=body.again))


def _count(found: RunCount) -> Response:
    return answer(BulkCount(matched=found.total, capped=found.capped))
