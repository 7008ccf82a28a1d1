"""Where a run comes from and what came of it: parent, root, children, and what was resubmitted."""

from collections.abc import Callable
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from celeriac.errors import RunNotFoundError
from celeriac.history import RunFilter
from celeriac.runs.history import RunHistory
from celeriac.runs.run import Run, RunState

MOST_RESUBMISSIONS = 100


class RunSummary(BaseModel):
    """A relative in short; of one that nobody remembers only the identifier is known."""

    model_config = ConfigDict(frozen=True)

    id: str
    task: str | None = None
    state: RunState | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Give what matters at a glance."""
        return cls(**{name: getattr(run, name) for name in cls.model_fields})


class Lineage(BaseModel):
    """A run's relatives."""

    model_config = ConfigDict(frozen=True)

    parent: RunSummary | None = Field(description="The run that started it.")
    root: RunSummary | None = Field(description="The run that all began with; null for itself.")
    children: list[RunSummary] = Field(description="What it has started, newest first.")
    next_cursor: str | None = Field(None, description="Where further children begin.")
    descendants: list[RunSummary] = Field(
        description="Of a root, what came of it by way of others, newest first: the next steps of "
        "a chain, the callback of a chord. The list of runs by `root` has all of them."
    )  # fmt: skip
    resubmit_of: RunSummary | None = Field(description="The run whose input it was given.")
    resubmissions: list[RunSummary] = Field(description="Runs given its input, newest first.")

    @property
    def has_family(self) -> bool:
        """Tell whether the run comes from another, or others from it."""
        return bool(self.parent or self.root or self.children or self.descendants)


def lineage_of(
    run: Run,
    get: Callable[[str], Run],
    history: RunHistory,
    cursor: str | None = None,
    limit: int = 50,
) -> Lineage:
    """Find the relatives; children a page at a time."""

    def relative(run_id: str | None) -> RunSummary | None:
        if run_id in (None, run.id):
            return None
        try:
            return RunSummary.of(get(str(run_id)))
        except RunNotFoundError:
            return RunSummary(id=str(run_id))

    children = history.children(run.id, cursor, limit)
    is_root = run.root_id in (None, run.id)
    family = history.find(RunFilter(root_id=run.id), limit=limit).runs if is_root else []
    again = history.resubmissions(run.id, MOST_RESUBMISSIONS)
    return Lineage(
        parent=relative(run.parent_id),
        root=relative(run.root_id),
        children=[RunSummary.of(child) for child in children.runs],
        next_cursor=children.next_cursor,
        descendants=[RunSummary.of(e) for e in family if run.id not in (e.id, e.parent_id)],
        resubmit_of=relative(run.resubmit_of),
        resubmissions=[RunSummary.of(each) for each in again.runs],
    )
