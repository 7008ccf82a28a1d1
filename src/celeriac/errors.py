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


class FaultError(CeleriacError):
    """Something failed that nobody foresaw, with one of many; the log tells what."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__("This is a fault of the server; its log tells more.")


class TransientError(CeleriacError):
    """Something that is needed is away for now; nothing was half done."""

    code = "unavailable"
    retry_after_s: int = 5


class BrokerUnavailableError(TransientError):
    """The broker did not confirm the message."""

    code = "broker_unavailable"


class RefusedError(BrokerUnavailableError):
    """The broker did not take the message."""

    code = "refused"

    def __init__(self) -> None:
        super().__init__(
            "The broker refused the message, so nothing was submitted: its queue is full or was "
            "just removed. Try again shortly."
        )


class QueueDiffersError(BrokerUnavailableError):
    """A queue exists with another definition than ours."""

    code = "queue_differs"

    def __init__(self, detail: str) -> None:
        super().__init__(
            "A queue of the broker has another definition than Celeriac's, so nothing was "
            f"submitted. `celeriac doctor` tells how to migrate it. RabbitMQ says: {detail}"
        )


class QueueInUseError(CeleriacError):
    """A queue cannot be defined anew while somebody listens to it."""

    code = "queue_in_use"

    def __init__(self, name: str, consumers: int) -> None:
        super().__init__(
            f"{consumers} consumers listen to the queue {name!r}. Stop the workers, and try again."
        )


class UnconfirmedError(BrokerUnavailableError):
    """The broker had the message, perhaps, and did not say so in time."""

    code = "unconfirmed"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            "The broker did not confirm the message in time. It was most likely not submitted; if "
            f"it got through all the same, it runs as {run_id}: look there before you try again."
        )
        self.run_id = run_id


class WorkerUntoldError(BrokerUnavailableError):
    """A run is cancelled, and its worker could not be told to end it."""

    code = "worker_untold"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"The cancel of run {run_id} is noted, so it will not start again; but the broker is "
            "away, so the worker that executes it was not told to end it. Cancel it again shortly."
        )
        self.run_id = run_id


class ResultsUnavailableError(TransientError):
    """The result backend (Redis) did not answer."""

    code = "results_unavailable"


class HistoryUnavailableError(TransientError):
    """The history (SQLite or PostgreSQL) cannot be read or written for now."""

    code = "history_unavailable"


class FlowerUnavailableError(TransientError):
    """Flower did not answer the web, or refused it."""

    code = "flower_unavailable"


class HistoryRefusedError(CeleriacError):
    """The history's database refuses what was to be written, and will whenever it is tried."""

    code = "history_refused"


class ConfigurationError(CeleriacError):
    """A setting, an address or a module is wrong; the process cannot start."""

    code = "configuration"


def _hint(near: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(near)}?" if near else ""


class UnknownTaskError(CeleriacError):
    """No registered task has this name."""

    code = "unknown_task"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        super().__init__(f"There is no task named {name!r}.{_hint(near)}")
        self.name = name
        self.near = tuple(near)


class UnknownQueueError(CeleriacError):
    """Nothing is routed to a queue of this name, and no worker consumes it."""

    code = "unknown_queue"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        super().__init__(f"There is no queue named {name!r}.{_hint(near)}")
        self.name = name
        self.near = tuple(near)


class UnknownWorkerError(CeleriacError):
    """No worker of this name has given a sign of life within a day."""

    code = "unknown_worker"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        super().__init__(f"There is no worker named {name!r}.{_hint(near)}")
        self.name = name
        self.near = tuple(near)


class WorkerRefusedError(CeleriacError):
    """The worker cannot do what was asked, as it is now."""

    code = "worker_refused"


class RunNotFoundError(CeleriacError):
    """No record of this run is left, or there never was one."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"There is no run {run_id!r}. The identifier may be mistyped, the run may be older "
            "than the history, or a Celery client without Celeriac's app has sent it and no worker "
            "has started it yet."
        )
        self.run_id = run_id


class RunUnheardOfError(RunNotFoundError):
    """No record of this run is left, but some other Celery client may have submitted it."""

    def __init__(self, run_id: str) -> None:
        CeleriacError.__init__(
            self,
            f"Nobody has heard of a run {run_id!r}. If another Celery client has submitted it and "
            "it has not started yet, say so: ?foreign=true, or --foreign on the command line.",
        )
        self.run_id = run_id


class RunFinishedError(CeleriacError):
    """The run has ended already, so there is nothing to cancel."""

    code = "run_finished"


class LineError(CeleriacError):
    """A line of a batch is no JSON object in UTF-8."""

    code = "invalid_line"


class LineTooLongError(CeleriacError):
    """A line of a batch is longer than a whole request may be."""

    code = "line_too_long"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The line is longer than {limit_bytes} bytes (CELERIAC_MAX_BODY_BYTES); "
            "nothing was submitted."
        )


class InvalidKeyError(CeleriacError):
    """An idempotency key is malformed."""

    code = "invalid_idempotency_key"


class KeyReusedError(CeleriacError):
    """An idempotency key came with another request than the first time."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used for another request. Nothing was submitted; "
            "choose a new key for each new submission."
        )


class KeyInProgressError(TransientError):
    """The first request with this idempotency key is still being carried out."""

    code = "idempotency_key_in_progress"
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__(
            "The first request with this idempotency key is still being carried out, or has ended "
            "without an answer a moment ago. Send it again with the same key to learn its outcome."
        )


class DeadLetterError(CeleriacError):
    """The run's message went to the dead letters; it is what the run's error says."""

    code = "dead_letter"


class UnsignedError(DeadLetterError):
    """The message's signature is missing or wrong, so no worker executes it."""

    code = "unsigned"


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

    @property
    def by_field(self) -> dict[str, str]:
        """Give what is wrong by the name of its field, as a form shows it."""
        return {each.pointer.strip("/"): each.detail for each in self.problems}
