"""Celery's consumer, the part of a worker that takes messages, with lanes and dead letters.

A worker takes messages from the normal and the fast lane of each queue, as many from each as it
executes at once. What it cannot start yet waits here by priority, so that the next free child gets
the most urgent.

What can never be executed, because nobody can read it or no task has its name, becomes a dead
letter. Celery would acknowledge or reject such a message, and it would be gone.

Where messages are signed, one whose signature is missing or wrong becomes a dead letter unread. No
run is told of it, since anybody may have written any run's identifier there.

A run goes on when the connection to the broker breaks, and its message is given out again. Where
that comes back to the worker that executes the run, it is not executed a second time.
"""

from contextlib import suppress
from functools import partial
from typing import Any

from celery import Celery, signals
from celery.app.task import Context
from celery.exceptions import NotRegistered
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import active_requests, requests
from vine import promise

from celeriac.acknowledgements import pass_on
from celeriac.backend import RunBackend
from celeriac.burial import bury, bury_or_requeue, goes_to_dead_letters, request_of
from celeriac.due_acks import DueAcks
from celeriac.errors import DeadLetterError, UnsignedError
from celeriac.fleet.holding import RUN
from celeriac.fleet.watchdog import Intake
from celeriac.queues import high_name_of, is_ours
from celeriac.request import RunRequest
from celeriac.signatures import properties_of, signatures_of
from celeriac.waiting_list import WaitingList

MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a message raises that is not as Celery expects."""

RETRIES = {"interval_start": 1, "interval_step": 1, "interval_max": 2}
EVENT_OPTIONS = {"confirm_publish": False, "read_timeout": 1.0, "write_timeout": 1.0}

EVENTS_AT_ONCE = 256
"""How many events of Celery's go in one message; the loop sends those of each of its turns."""
MOST_WAYS = 1000

logger = get_logger(__name__)


class Consumer(CeleryConsumer):
    """Celery's consumer; the setting `worker_consumer` names it."""

    app: Celery
    blueprint: Any
    call_soon: Any
    channel_errors: Any
    connection: Any
    controller: Any
    hub: Any
    connection_errors: Any
    event_dispatcher: Any
    hostname: str
    initial_prefetch_count: int
    qos: Any
    qos_global: bool | None
    task_consumer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.intake = Intake()
        self.prefetch_at_start = 0
        self._due_acks = DueAcks()
        self._signatures = signatures_of(self.app)
        semaphore = getattr(self.controller, "semaphore", None)
        if semaphore is not None:  # Pools without an event loop start what comes when it comes.
            WaitingList.put_into(semaphore, counts_down=not self._is_on_amqp)

    def ensure_connected(self, conn: Any) -> Any:
        """Try again every second or two; Celery waits longer each time, up to half a minute."""
        conn.ensure_connection = partial(conn.ensure_connection, **RETRIES)
        return super().ensure_connected(conn)

    def connection_for_write(self, url: Any = None, heartbeat: Any = None) -> Any:
        """Connect for Celery's events, which are worth neither a confirm nor a long wait.

        The worker's only loop sends them. Under an alarm of RabbitMQ's, or on a connection that is
        dead and does not know it, it would wait for their confirms and do nothing else.
        """
        connection: Any = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        if self._is_on_amqp:
            connection.transport_options = {**connection.transport_options, **EVENT_OPTIONS}
        return self.ensure_connected(connection)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect anew, in everything: what else leads to the broker may be as dead."""
        super().on_connection_error_after_connected(exc)
        if self._is_on_amqp:
            pool: Any = self.app.pool
            pool.resize(pool.limit, reset=True)

    def shutdown(self) -> None:
        """Close the connection, when the queues have heard of all that was acknowledged."""
        self.perform_pending_operations()
        if self._is_on_amqp and self.task_consumer is not None:
            with suppress(*self.connection_errors, *self.channel_errors):
                for queue in self.task_consumer.queues:
                    pass_on(self.task_consumer.channel, queue.name)
        super().shutdown()

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Have a message acknowledged or rejected by the loop, with all others that are due.

        While a worker stops there are no turns any more, and Celery's pools look for these calls.
        """
        if not self.hub or self.blueprint.state != RUN:
            parent: Any = super()
            return parent.call_soon_ack(p, *args, **kwargs)
        call = partial(p, *args, **kwargs)
        self._due_acks.add(self.hub, call)
        return call

    @property
    def _is_on_amqp(self) -> bool:
        return bool(self.app.conf.broker_url.startswith("amqp"))

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Give what handles a message, with a way to the dead letters for each."""
        handle = super().create_task_handler(*args, **kwargs)
        self.prefetch_at_start = self.initial_prefetch_count
        if self.event_dispatcher:
            self.event_dispatcher.buffer_limit = EVENTS_AT_ONCE
        is_buried: dict[Any, bool] = {}

        def on_message(message: Any) -> None:
            self.intake.note(message)
            if self._is_buried(message, is_buried):
                message.reject_log_error = partial(bury_or_requeue, self.app, message)
            if self._is_refused(message) or self._goes_on(message):
                return
            try:
                handle(message)
            except MALFORMED as error:
                # Celery's worker would end of it, and so would the next one.
                if message.acknowledged or (message.headers or {}).get("id") in requests:
                    raise
                self._make_dead(message, error)

        return on_message

    def _is_buried(self, message: Any, known: dict[Any, bool]) -> bool:
        """Tell whether we have to make a dead letter of a message: the same for all sent alike."""
        delivery = message.delivery_info or {}
        way = delivery.get("exchange"), delivery.get("routing_key")
        if way not in known:
            if len(known) > MOST_WAYS:
                known.clear()
            known[way] = not goes_to_dead_letters(self.app, message)
        return known[way]

    def _is_refused(self, message: Any) -> bool:
        """Make a dead letter of a message without a right signature; tells whether it was one."""
        if self._signatures is None:
            return False
        headers = message.headers if isinstance(message.headers, dict) else {}
        problem = self._signatures.problem_with(headers, properties_of(message), message.body)
        if problem is None:
            return False
        logger.error("A message goes to the dead letters and is not executed. %s", problem)
        error = UnsignedError(problem)
        bury(self.app, message, logger, self.connection_errors, error)
        return True

    def _goes_on(self, message: Any) -> bool:
        """Let a run that executes here have its message back; tells whether there is one."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        run_id = headers.get("id")
        request = requests.get(run_id) if isinstance(run_id, str) else None
        if not isinstance(request, RunRequest) or request not in active_requests:
            return False
        return request.take_back(
            message,
            promise(self.call_soon_ack, (message.ack_log_error,)),
            promise(self.call_soon_ack, (message.reject_log_error,)),
        )

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Make a dead letter of what nobody can decode, or is no message of Celery's at all."""
        if not self._is_refused(message):
            self._make_dead(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Make a dead letter of what names no task."""
        self._make_dead(message, DeadLetterError("It names no task."))
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Make a dead letter of a run whose task this worker does not have."""
        name = str(exc.args[0]) if exc.args else ""
        run_id = self._make_dead(message, NotRegistered(name))
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=run_id)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Make a dead letter of what is not as a message of Celery's has to be."""
        self._make_dead(message, exc)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def _make_dead(self, message: Any, error: Exception) -> str | None:
        """Tell first that the run is dead: its message is given out again until that is done."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        run_id, task = headers.get("id"), headers.get("task")
        logger.error(
            "A message goes to the dead letters: %r (run %s, task %s)", error, run_id, task
        )
        if isinstance(run_id, str) and run_id:
            self._tell_dead(run_id, request_of(message, self.hostname), error)
            message.reject_log_error(logger, self.connection_errors)
            return run_id
        bury(self.app, message, logger, self.connection_errors, error)
        return None

    def _tell_dead(self, run_id: str, request: Context, error: Exception) -> None:
        backend = self.app.backend
        if isinstance(backend, RunBackend):
            backend.mark_as_dead(run_id, error, request)
        # It is a failure to a chord, to what follows in a chain, and to who listens to Celery.
        backend.mark_as_failure(run_id, error, request=request, store_result=False)
        if self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=run_id, exception=repr(error))

    def _update_prefetch_count(self, index: int = 0) -> Any:
        """Take as many messages as the pool executes now; quorum queues go by how one began."""
        parent: Any = super()
        value = parent._update_prefetch_count(index)
        if self.qos_global is False:
            self.call_soon(self._consume_anew)
        return value

    def _consume_anew(self) -> None:
        """Begin anew with each queue; what was taken from it before is still ours."""
        if not self.connection or self.blueprint.state != RUN:
            return  # The next connection begins with what is right.
        self.qos.update()
        self.prefetch_at_start = self.qos.value
        for queue in list(self.task_consumer.queues):
            self.task_consumer.cancel_by_queue(queue.name)
            self.task_consumer.add_queue(queue)
        self.task_consumer.consume()

    def add_task_queue(self, queue: Any, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue, and from its fast lane where it has one."""
        added = super().add_task_queue(queue, *args, **kwargs)
        if is_ours(self.app.amqp.queues[queue]):
            super().add_task_queue(high_name_of(queue))
        return added

    def cancel_task_queue(self, queue: Any) -> None:
        """Consume no more from a queue, nor from its fast lane."""
        super().cancel_task_queue(queue)
        if is_ours(self.app.amqp.queues[queue]):
            self.task_consumer.cancel_by_queue(high_name_of(queue))
