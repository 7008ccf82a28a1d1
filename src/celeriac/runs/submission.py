"""Submitting a run: validate, write its record, publish its message, tell of it."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue
from uuid_utils import uuid7

from celeriac.catalog import Catalog
from celeriac.errors import FieldProblem, InvalidInputError, ResultsUnavailableError
from celeriac.marks import Keeping
from celeriac.runs import resubmission
from celeriac.runs.broker import Broker
from celeriac.runs.draft import Draft
from celeriac.runs.idempotency import Claim
from celeriac.runs.options import SubmitOptions
from celeriac.runs.run import Run, RunState
from celeriac.runs.store import RunStore
from celeriac.settings import Settings


class Submitter:
    """Accepts runs."""

    def __init__(
        self, settings: Settings, catalog: Catalog, broker: Broker, store: RunStore
    ) -> None:
        self._settings = settings
        self._keeping = Keeping(settings.redacted_names, settings.max_value_bytes)
        self._catalog = catalog
        self._broker = broker
        self._store = store

    def submit(
        self,
        task_name: str,
        args: Mapping[str, JsonValue],
        options: SubmitOptions,
        *,
        resubmit_of: str | None = None,
    ) -> Run:
        """Submit a run; when this returns, the broker has its message.

        Raises:
            UnknownTaskError: no such task.
            InvalidInputError: arguments or options do not fit.
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        return self.accept(self.draft(task_name, args, options, resubmit_of=resubmit_of))

    def resubmit(
        self, earlier: Run, args: Mapping[str, JsonValue] | None, options: SubmitOptions | None
    ) -> Run:
        """Submit a run like an earlier one, which may still be executed.

        Raises:
            UnknownTaskError: the task does not exist any more.
            InvalidInputError: its input is not known in whole, or does not fit (any more).
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        return self.accept(self.redraft(earlier, args, options))

    def draft(
        self,
        task_name: str,
        args: Mapping[str, JsonValue],
        options: SubmitOptions,
        *,
        resubmit_of: str | None = None,
        run_id: str | None = None,
    ) -> Draft:
        """Check everything that can be checked before anything is written.

        Raises:
            UnknownTaskError, InvalidInputError
        """
        spec = self._catalog.get(task_name)
        call = spec.call(args)
        self._broker.check_queue(options.queue, self._catalog.queues)
        now = datetime.now(UTC)
        eta = options.eta_at(now, timedelta(seconds=self._settings.max_countdown_s))
        run = Run(
            id=run_id or str(uuid7()),
            task=task_name,
            state=RunState.SCHEDULED if eta else RunState.PENDING,
            args=self._keeping.arguments(args, spec.secrets),
            queue=options.queue or spec.queue,
            priority=options.priority,
            tags=list(options.tags),
            submitted_at=now,
            eta=eta,
            resubmit_of=resubmit_of,
        )
        return Draft(run, task_name, call, options, options.expires_at(now))

    def redraft(
        self,
        earlier: Run,
        args: Mapping[str, JsonValue] | None,
        options: SubmitOptions | None,
        *,
        run_id: str | None = None,
    ) -> Draft:
        """Do the same for a run like an earlier one.

        Raises:
            UnknownTaskError, InvalidInputError
        """
        if earlier.task is None:
            raise InvalidInputError([FieldProblem("", "Nothing tells which task this run is of.")])
        spec = self._catalog.get(earlier.task)
        found = resubmission.arguments_of(earlier, spec) if args is None else args
        resubmission.check_whole(dict(found))
        wanted = resubmission.options_of(earlier, options)
        return self.draft(spec.name, found, wanted, resubmit_of=earlier.id, run_id=run_id)

    def accept(self, draft: Draft, claim: Claim | None = None) -> Run:
        """Publish a draft; `claim` is the idempotency key that it comes with.

        Raises:
            BrokerUnavailableError, ResultsUnavailableError: no run exists now.
        """
        run = draft.run
        self._store.add(run)
        try:
            self._broker.publish(draft)
        except BaseException:
            if claim is None or not claim.is_again:  # An earlier message may be under way.
                with suppress(ResultsUnavailableError):
                    self._store.remove(run.id)
            raise
        with suppress(ResultsUnavailableError):
            # The broker has the message; if nobody can be told now, the worker's events tell it.
            self._store.tell_submitted(run, claim)
        return run
