"""Publishing by Redis: each submission has a connection of kombu's while it lasts."""

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery

from celeriac.errors import BrokerUnavailableError, CeleriacError, FaultError, UnconfirmedError
from celeriac.runs.draft import Draft
from celeriac.runs.sending import PASSING, apply, fresh_channel, not_sent, translated, turn

log = logging.getLogger(__name__)


class RedisPublisher:
    """Publishes one message, or several in one pipeline."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, draft: Draft) -> None:
        """Publish a message.

        Raises:
            BrokerUnavailableError: nothing was sent.
            redis.RedisError, kombu.KombuError, OSError: it may have been sent.
        """
        with turn(self._app.producer_pool) as producer:
            with translated():
                _ = producer.channel  # Connects; nothing has been sent until here.
            try:
                apply(self._app, draft, producer)
            except PASSING:
                # An answer that comes late would be taken for the next one's, so cut the line.
                if producer.connection:
                    producer.connection.collect()
                raise

    def publish_all(self, drafts: Sequence[Draft]) -> list[CeleriacError | None]:
        """Publish several at once; gives what went wrong with each, in order."""
        group = _Group(self._app)
        try:
            with (
                turn(self._app.pool) as connection,
                fresh_channel(connection) as channel,
            ):
                group.send(drafts, self._app.amqp.Producer(channel, auto_declare=False))
        except BrokerUnavailableError as error:
            return [error] * len(drafts)
        except PASSING:
            log.warning("The broker broke off a batch of %d messages.", len(drafts), exc_info=True)
        return [group.outcome(draft.run.id) for draft in drafts]


class _Group:
    """Messages that go in one pipeline, which tells of all of them at once."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._faulty: set[str] = set()
        self._sent: set[str] = set()
        self._has_landed = False

    def send(self, drafts: Sequence[Draft], producer: Any) -> None:
        with producer.batch():
            for draft in drafts:
                self._send(draft, producer)
        self._has_landed = True

    def _send(self, draft: Draft, producer: Any) -> None:
        """Send one; what a task's own code raises meanwhile is wrong with this one alone."""
        self._sent.add(draft.run.id)
        try:
            apply(self._app, draft, producer)
        except PASSING:
            raise
        except Exception:
            log.exception("The message of run %s was not sent.", draft.run.id)
            self._sent.discard(draft.run.id)
            self._faulty.add(draft.run.id)

    def outcome(self, run_id: str) -> CeleriacError | None:
        """Give what is wrong, or None when the broker has the message."""
        if run_id in self._faulty:
            return FaultError()
        if run_id not in self._sent:
            return not_sent()
        return None if self._has_landed else UnconfirmedError(run_id)
