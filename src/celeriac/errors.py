"""Every error that Celeriac raises on purpose.

Transient errors (`TransientError`) may pass when the same call is made again later; all others stay
until somebody changes something. The web and the CLI translate them once, at their own edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class CeleriacError(Exception):
    """Root of all of them; the message tells a person what to check."""

    code: ClassVar[str] = "error"


class TransientError(CeleriacError):
    """Something that is needed is away for now; nothing was half done."""

    code = "unavailable"
    retry_after_s: ClassVar[int] = 5


class BrokerUnavailableError(TransientError):
    """The broker did not confirm the message."""

    code = "broker_unavailable"


class UnconfirmedError(BrokerUnavailableError):
    """The broker had the message, perhaps, and did not say so in time."""

    code = "unconfirmed"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            "The broker did not confirm the message in time. It was most likely not submitted; if "
            f"it got through all the same, it runs as {run_id}: look there before you try again."
        )
        self.run_id = run_id


class ResultsUnavailableError(TransientError):
    """The result backend (Redis) did not answer."""

    code = "results_unavailable"


class HistoryUnavailableError(TransientError):
    """The history (SQLite or PostgreSQL) cannot be read or written for now."""

    code = "history_unavailable"


class ConfigurationError(CeleriacError):
    """A setting, an address or a module is wrong; the process cannot start."""

    code = "configuration"


class UnknownTaskError(CeleriacError):
    """No registered task has this name."""

    code = "unknown_task"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"There is no task named {name!r}.{hint}")
        self.name = name
        self.near = tuple(near)


class RunNotFoundError(CeleriacError):
    """No record of this run is left, or there never was one."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"There is no run {run_id!r}. The identifier may be mistyped, "
            "or the run's result has expired."
        )
        self.run_id = run_id


class RunFinishedError(CeleriacError):
    """The run has ended already, so there is nothing to cancel."""

    code = "run_finished"


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one value: a JSON Pointer (RFC 6901) to it and a sentence."""

    pointer: str
    detail: str


class InvalidInputError(CeleriacError):
    """The submission's arguments or options do not fit the task's schema."""

    code = "invalid_input"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{p.pointer or '/'}: {p.detail}" for p in problems))
        self.problems = tuple(problems)
