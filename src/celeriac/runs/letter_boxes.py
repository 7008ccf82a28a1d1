"""Where dead letters lie: queues of RabbitMQ, or lists of a Redis broker.

Both are gone through the same way: letter by letter, the oldest first. A letter stays where it was,
in its order, unless whoever looks at it removes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from celery import Celery
from kombu import Connection

from celeriac.celeryconfig import CONNECT_TIMEOUT_S
from celeriac.errors import BrokerUnavailableError
from celeriac.runs.sending import PASSING

PAGE = 200
"""How many letters are in hand at once, besides those that were kept."""
NOT_SENT_AGAIN = (
    "celeriac_dead", "x-death", "x-delivery-count", "x-acquired-count", "x-first-death-exchange",
    "x-first-death-queue", "x-first-death-reason", "x-last-death-exchange", "x-last-death-queue",
    "x-last-death-reason",
)  # fmt: skip


@dataclass(frozen=True)
class RawLetter:
    """A dead letter as the broker has it."""

    queue: str
    """The queue of tasks whose dead letter it is."""
    body: bytes
    headers: Mapping[str, Any]
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lasting_headers(self) -> dict[str, Any]:
        """Give the headers without those that tell of its death."""
        return {name: v for name, v in self.headers.items() if name not in NOT_SENT_AGAIN}


class LetterCount(NamedTuple):
    """How many dead letters a queue has."""

    letters: int
    is_looked_at: bool = False
    """Somebody has some in hand, which are not counted."""


class Found:
    """A letter that is being looked at; it stays unless it is removed."""

    def __init__(self, letter: RawLetter, remove: Callable[[], Any]) -> None:
        self.letter = letter
        self.is_removed = False
        self._remove = remove

    def remove(self) -> None:
        """Remove it for good, before the next one is looked at.

        Raises:
            BrokerUnavailableError
        """
        with answering():
            self._remove()
        self.is_removed = True


Send = Callable[[RawLetter], None]
"""Publishes a letter into the queue that it died in, and waits until the broker has it."""


class LetterBox(Protocol):
    """The dead letters of every queue."""

    def counts(self, queues: Sequence[str]) -> dict[str, LetterCount]:
        """Tell how many dead letters each queue has."""
        ...

    def go_through(self, queue: str, most: int) -> Iterator[Found]:
        """Show letters, the oldest first; it ends early where others have some in hand."""
        ...

    def sending(self) -> AbstractContextManager[Send]:
        """Connect once to publish many letters."""
        ...


@contextmanager
def answering() -> Iterator[None]:
    """Say in our words that the broker did not answer.

    Raises:
        BrokerUnavailableError
    """
    try:
        yield
    except PASSING as error:
        raise BrokerUnavailableError(
            "The broker did not answer. No dead letter is lost; try again shortly."
        ) from error


@contextmanager
def connected(app: Celery) -> Iterator[Connection]:
    """Connect to the app's broker.

    Raises:
        BrokerUnavailableError
    """
    with answering(), app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.connect()
        yield connection
