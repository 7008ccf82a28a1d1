"""Emptying a queue without forgetting what was in it: each run that is dropped ends as REVOKED.

A plain purge leaves runs that are PENDING for ever. Here a batch of messages is taken, its runs are
cancelled for good in one round trip, and only then are the messages acknowledged. Whatever fails in
between, no run is lost: a message that comes back is one of a cancelled run, or still waits. What a
message tells of its run is kept, since a client that is not ours has told nobody else.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import ChannelError
from pydantic import BaseModel, ConfigDict, Field

from celeriac import unacked
from celeriac.acknowledgements import pass_on
from celeriac.celeryconfig import CONNECT_TIMEOUT_S
from celeriac.delivery import queue_of
from celeriac.errors import BrokerUnavailableError
from celeriac.queues import lanes_of
from celeriac.runs.queue_counts import counts_of
from celeriac.runs.sending import PASSING
from celeriac.runs.store import Cancelled, RunStore

BATCH = 200
WITHIN_S = 15.0
REASON = "purged"


class Purged(BaseModel):
    """What a purge has done; what came into the queue since it began is not touched."""

    model_config = ConfigDict(frozen=True)

    purged: int = Field(description="Messages that are gone; their runs are revoked.")
    kept: int = Field(
        0, description="Messages of runs that had begun and were delivered again: they end as "
        "revoked when a worker takes them."
    )  # fmt: skip
    left: int = Field(
        0, description="Messages that there was no time for: go on with `most` so many and `kept`."
    )  # fmt: skip

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(
            purged=self.purged + other.purged,
            kept=self.kept + other.kept,
            left=self.left + other.left,
        )


class Purger:
    """Takes messages on a connection of its own, for a bounded time."""

    def __init__(self, app: Celery, store: RunStore) -> None:
        self._app = app
        self._store = store
        self._is_on_redis = not app.conf.broker_url.startswith("amqp")

    def purge(self, name: str, most: int | None = None, within_s: float = WITHIN_S) -> Purged:
        """Drop what waits in a queue, `most` so many, and a batch at least.

        Raises:
            BrokerUnavailableError: part of it may have been dropped.
            ResultsUnavailableError: the same; what was not dropped waits again.
        """
        until_s, done = time.monotonic() + within_s, Purged(purged=0)
        for lane in lanes_of(self._app.amqp.queues, name):
            room = None if most is None else max(0, most - done.purged - done.kept - done.left)
            done = done + self._purge_lane(lane.name, room, until_s)
        return done

    def _purge_lane(self, name: str, most: int | None, until_s: float) -> Purged:
        with self._queue(name) as queue:
            ready = _ready(queue)
            return self._emptied(queue, ready if most is None else min(ready, most), until_s)

    def _emptied(self, queue: Queue, left: int, until_s: float) -> Purged:
        kept: list[Any] = []
        purged = 0
        while left:
            messages = list(_taken(queue, min(left, BATCH)))
            gone, begun = self._sorted(messages)
            for message in gone:
                message.ack()
            kept += begun
            purged += len(gone)
            left = left - len(messages) if messages else 0
            if time.monotonic() > until_s:
                break
        if purged and not self._is_on_redis:
            pass_on(queue.channel, queue.name)
        for message in kept:
            message.requeue()
        return Purged(purged=purged, kept=len(kept), left=left)

    def _sorted(self, messages: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Cancel the messages' runs; gives the messages that may go, and those of begun runs."""
        by_message = [(message, _run_id(message)) for message in messages]
        run_ids = list(dict.fromkeys(run_id for _, run_id in by_message if run_id))
        about = {run_id: self._told_by(message) for message, run_id in by_message if run_id}
        found = self._store.cancel(run_ids, REASON, about) if run_ids else {}
        begun = {run_id for run_id, how in found.items() if how is Cancelled.EXECUTING}
        gone = [message for message, run_id in by_message if run_id not in begun]
        return gone, [message for message, run_id in by_message if run_id in begun]

    def _told_by(self, message: Any) -> dict[str, Any]:
        """Give what a message tells of its run; its arguments only where they are plain data."""
        queue = queue_of(self._app, message.delivery_info)
        backend: Any = self._app.backend
        try:
            args, kwargs, *_ = message.decode()
            return dict(backend.about_message(message.headers, args, kwargs, queue))
        except Exception:  # Whatever a client has sent: its run shall be revoked all the same.
            told = {"task": message.headers.get("task"), "queue": queue}
            return {name: value for name, value in told.items() if isinstance(value, str)}

    @contextmanager
    def _queue(self, name: str) -> Iterator[Queue]:
        options = self._app.conf.broker_transport_options
        if self._is_on_redis:
            # Should this process die, workers put back what it has taken.
            options = options | unacked.transport_options(unacked.holder_of("purge"))
        connection = self._app.connection_for_read(
            heartbeat=0, connect_timeout=CONNECT_TIMEOUT_S, transport_options=options
        )
        try:
            with connection:
                connection.connect()
                with connection.channel() as channel:
                    yield Queue(name)(channel)
        except PASSING as error:
            raise BrokerUnavailableError(
                "The broker went away. What was not dropped yet waits in the queue as before."
            ) from error


def _ready(queue: Queue) -> int:
    try:
        return counts_of(queue.channel, queue.name).ready
    except ChannelError:
        return 0  # Nobody has used it yet.


def _taken(queue: Queue, most: int) -> Iterator[Any]:
    for _ in range(most):
        message = queue.get(no_ack=False)
        if message is None:
            return
        yield message


def _run_id(message: Any) -> str | None:
    """Give the run that a message of Celery's second protocol is about."""
    run_id = (message.headers or {}).get("id")
    return run_id if isinstance(run_id, str) else None
