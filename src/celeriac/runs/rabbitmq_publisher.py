"""Publishing by RabbitMQ: all submissions of a process share one connection."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from celery import Celery

from celeriac.deadline import within
from celeriac.errors import CeleriacError, FaultError, RefusedError, UnconfirmedError
from celeriac.line import Flight, Line
from celeriac.line_producer import Declaring, Gathering, connected
from celeriac.queues import is_ours, lanes_of
from celeriac.runs.draft import Draft
from celeriac.runs.sending import (
    NO_ROUTE,
    Landing,
    apply,
    is_refusal,
    translated,
    turn,
)
from celeriac.templates import Call, Templates, template_of
from celeriac.wire import Outgoing

PUBLISHES_WITHIN_S = 10.0
"""How long RabbitMQ may take in all for a submission, which over a new connection needs many
answers; each has a shorter time of its own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """A run's message, and what is sent beside it that nobody waits for."""

    message: Outgoing
    beside: Sequence[Outgoing]


class RabbitMQPublisher:
    """Publishes messages, any number at the same time, and waits for the confirm of each."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._line = Line(lambda: connected(app).connection)
        self._declare = Declaring(self._line, lambda: turn(app.pool), PUBLISHES_WITHIN_S)
        self._templates = Templates(app, partial(template_of, app))
        # A team's app that declares its queues itself has none.
        self._delays: Any = getattr(app.amqp, "delays", None)
        options = app.conf.broker_transport_options
        self._answers_within_s: float = options.get("read_timeout") or PUBLISHES_WITHIN_S

    def publish(self, draft: Draft) -> None:
        """Publish a message.

        Raises:
            BrokerUnavailableError: nothing was sent.
            amqp.AMQPError, OSError: it is refused, or may have been sent.
        """
        with within(PUBLISHES_WITHIN_S), translated():
            made = self._made(draft)
            flight = self._send([made])
        self._wait(flight)
        if error := flight.outcome(0):
            self._note([error])
            raise error

    def send_all(self, drafts: Sequence[Draft]) -> Landing:
        """Send several at once; what that gives waits for their confirms."""
        outcomes: dict[str, CeleriacError | None] = {}
        made = self._all_made(drafts, outcomes)
        flight = self._sent(made, outcomes)

        def land() -> list[CeleriacError | None]:
            lost = self._landed(made, flight, outcomes)
            if lost:  # What was open when the connection broke goes once more, as what it was.
                again = {run_id: made[run_id] for run_id in lost}
                unsure = {run_id: outcomes[run_id] for run_id in lost}
                if (second := self._sent(again, outcomes)) is None:
                    outcomes.update(unsure)
                self._landed(again, second, outcomes)
            return [outcomes[draft.run.id] for draft in drafts]

        return land

    def _all_made(
        self, drafts: Sequence[Draft], outcomes: dict[str, CeleriacError | None]
    ) -> dict[str, _Made]:
        """Make the messages; what a task's own code raises is wrong with its message alone."""
        made: dict[str, _Made] = {}
        away: CeleriacError | None = None
        for draft in drafts:
            outcomes[draft.run.id] = away
            try:
                if away is None:
                    with within(PUBLISHES_WITHIN_S), translated():
                        made[draft.run.id] = self._made(draft)
            except CeleriacError as error:
                outcomes[draft.run.id] = away = error
            except Exception:
                log.exception("The message of run %s was not sent.", draft.run.id)
                outcomes[draft.run.id] = FaultError()
        return made

    def _sent(
        self, made: Mapping[str, _Made], outcomes: dict[str, CeleriacError | None]
    ) -> Flight | None:
        """Send messages, or note that none was sent."""
        if not made:
            return None
        try:
            with translated():
                return self._send(list(made.values()))
        except CeleriacError as error:
            outcomes |= dict.fromkeys(made, error)
            return None

    def _landed(
        self,
        made: Mapping[str, _Made],
        flight: Flight | None,
        outcomes: dict[str, CeleriacError | None],
    ) -> list[str]:
        """Wait for messages, note what became of each, and give those that may go once more."""
        if flight is None:
            return []
        self._wait(flight)
        errors = {run_id: flight.outcome(place) for place, run_id in enumerate(made)}
        self._note(errors.values())
        outcomes |= {run_id: _words(run_id, error) for run_id, error in errors.items()}
        return [each for each, error in errors.items() if _was_cut(error)]

    def _made(self, draft: Draft) -> _Made:
        """Make a message, and have the broker know where it goes."""
        if draft.run.eta is None and draft.expires is None:
            options = draft.options
            template = self._templates.find(draft.task_name, options.queue, options.priority)
            if template:
                for entity in template.entities:
                    self._declare(entity)
                call = Call(draft.run.id, draft.call.args, draft.call.kwargs, draft.headers)
                message, event = template.messages(call)
                return _Made(message, [event] if event else [])
        elif draft.run.eta:
            self._prepare_delay(draft.run.queue)
        gathered = Gathering(self._declare)
        apply(self._app, draft, gathered)
        [message] = gathered.tasks
        return _Made(message, gathered.others)

    def _send(self, made: Sequence[_Made]) -> Flight:
        return self._line.send(
            [each.message for each in made],
            self._answers_within_s,
            beside=[other for each in made for other in each.beside],
        )

    def _wait(self, flight: Flight) -> None:
        """Wait for confirms, each time at most so long for news, and not for ever."""
        until_s = time.monotonic() + PUBLISHES_WITHIN_S
        left = None
        while flight.open_count and left != flight.open_count and time.monotonic() < until_s:
            left = flight.open_count
            flight.wait(self._answers_within_s)

    def _prepare_delay(self, queue_name: str | None) -> None:
        """Declare, once, where runs wait for their time; no worker may have been here before."""
        queues = self._app.amqp.queues
        name = queue_name or self._app.conf.task_default_queue
        if is_ours(queues[name]):
            with turn(self._app.pool) as connection:
                self._delays.prepare(connection, lanes_of(queues, name))

    def _note(self, errors: Iterable[Exception | None]) -> None:
        """Declare anew from now on, where the broker may have lost what was declared."""
        errors = [error for error in errors if error]
        if not errors:
            return
        if self._delays:
            self._delays.forget()
        if any(getattr(error, "reply_code", None) == NO_ROUTE for error in errors):
            self._line.forget_declared()


def _was_cut(error: Exception | None) -> bool:
    return isinstance(error, RecoverableConnectionError)


def _words(run_id: str, error: Exception | None) -> CeleriacError | None:
    """Say what it means for a run."""
    if error is None:
        return None
    return RefusedError() if is_refusal(error) else UnconfirmedError(run_id)
