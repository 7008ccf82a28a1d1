"""Messages that are under way to the broker at once, and what has become of each.

Waiting for one confirm after another would make a batch as slow as the way to the broker is long.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from celeriac.errors import BrokerUnavailableError, CeleriacError, FaultError, UnconfirmedError

Sends = Mapping[str, Callable[[], object]]
"""What sends each run's message, by the run's identifier."""


log = logging.getLogger(__name__)


class Flight:
    """Knows of each run whether its message was sent, and whether the broker has it."""

    def __init__(self, passing: tuple[type[Exception], ...]) -> None:
        self._passing = passing
        self._faulty: set[str] = set()
        self._sent: set[str] = set()
        self._refused: set[str] = set()
        self._returned: set[str] = set()
        self._landed: set[str] = set()

    def outcome(self, run_id: str) -> CeleriacError | None:
        """Give what is wrong, or None when the broker has confirmed the run's message."""
        if run_id in self._landed:
            return None
        if run_id in self._faulty:
            return FaultError()
        if run_id in self._sent and run_id not in self._refused:
            return UnconfirmedError(run_id)
        return BrokerUnavailableError(
            "The broker did not accept the message, so nothing was submitted. Send it again."
        )

    def send_batched(self, runs: Sends, batch: Any) -> None:
        """Send messages in one pipeline of the transport, which tells of all of them at once."""
        with batch:
            for run_id, send in runs.items():
                self._send(run_id, send)
        self._landed |= self._sent

    def send_confirmed(self, runs: Sends, channel: Any, timeout_s: float | None) -> None:
        """Send messages over AMQP and wait for all confirms together."""
        channel.events["basic_return"].add(self._take_back)
        confirms = Confirms(channel)
        runs_by_tag: dict[int, str] = {}
        try:
            for run_id, send in runs.items():
                runs_by_tag[confirms.last + 1] = run_id
                self._send(run_id, send)
            confirms.wait(timeout_s)
        finally:
            gone = {run_id for tag, run_id in runs_by_tag.items() if tag <= confirms.last}
            open_runs = {runs_by_tag[tag] for tag in confirms.waiting if tag in runs_by_tag}
            self._refused = {runs_by_tag[tag] for tag in confirms.refused if tag in runs_by_tag}
            # What no queue takes is given back, and confirmed all the same.
            self._refused |= self._returned
            self._landed = gone - open_runs - self._refused

    def _send(self, run_id: str, send: Callable[[], object]) -> None:
        """Send a message; what a task's own code raises meanwhile is wrong with this one alone.

        Raises:
            Exception: one of those that say that the broker is away.
        """
        self._sent.add(run_id)
        try:
            send()
        except self._passing:
            raise
        except Exception:
            log.exception("The message of run %s was not sent.", run_id)
            self._sent.discard(run_id)
            self._faulty.add(run_id)

    def _take_back(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._returned.add(message.properties.get("correlation_id", ""))


class Confirms:
    """Counts the publisher confirms of a fresh AMQP channel instead of waiting for each.

    The broker numbers the messages of a channel from 1, in the order in which they were sent.
    """

    def __init__(self, channel: Any) -> None:
        channel.confirm_select()
        channel.events["basic_ack"].add(self._accept)
        channel.events["basic_nack"].add(self._refuse)
        channel.basic_publish = self._publish
        self._channel = channel
        self.last = 0
        self.waiting: set[int] = set()
        self.refused: set[int] = set()

    def wait(self, timeout_s: float | None) -> None:
        """Wait until each message is confirmed or refused, each time at most so long for news.

        Raises:
            OSError, amqp.AMQPError: the rest stays open.
        """
        while self.waiting:
            self._channel.connection.drain_events(timeout=timeout_s)

    def _publish(self, message: Any, **options: Any) -> None:
        self.last += 1
        self.waiting.add(self.last)
        self._channel._basic_publish(message, **options)

    def _accept(self, tag: int, multiple: bool) -> None:
        self.waiting -= self._tags(tag, multiple)

    def _refuse(self, tag: int, multiple: bool) -> None:
        self.refused |= self._tags(tag, multiple)
        self.waiting -= self.refused

    def _tags(self, tag: int, multiple: bool) -> set[int]:
        return {each for each in self.waiting if each <= tag} if multiple else {tag}
