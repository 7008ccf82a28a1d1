"""What more there is to tell of one run, by HTTP: its lines, its attempts, its relatives."""

from flask import Response
from pydantic import BaseModel, Field

from celeriac.runs import AttemptList, Lineage, LogPage
from celeriac.web.api.blueprint import answer, api
from celeriac.web.api.run_words import RunPath
from celeriac.web.api.runs import RUNS
from celeriac.web.context import runs


class LogQuery(BaseModel):
    after: str | None = Field(None, description="A line's `id`, or the `next` of the last page.")
    limit: int = Field(200, ge=1, le=1000)


@api.get("/runs/<run_id>/logs", tags=[RUNS], responses={200: LogPage})
def show_logs(path: RunPath, query: LogQuery) -> Response:
    """Show what a run has logged, the oldest line first.

    While the run goes on there is always a `next`: ask for it again, or follow the run's events.
    """
    return answer(runs().details.logs(path.run_id, query.after, query.limit))


@api.get("/runs/<run_id>/attempts", tags=[RUNS], responses={200: AttemptList})
def show_attempts(path: RunPath) -> Response:
    """Show when a run was executed, by which worker, and how that went."""
    return answer(AttemptList(attempts=runs().details.attempts(runs().get(path.run_id))))


class LineageQuery(BaseModel):
    limit: int = Field(50, ge=1, le=200, description="How many children.")
    cursor: str | None = Field(None, description="Where the page of children before ended.")


@api.get("/runs/<run_id>/lineage", tags=[RUNS], responses={200: Lineage})
def show_lineage(path: RunPath, query: LineageQuery) -> Response:
    """Show a run's relatives: parent, root, children, and runs with the same input."""
    return answer(runs().details.lineage(runs().get(path.run_id), query.cursor, query.limit))
