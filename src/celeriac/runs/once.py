"""Submitting at most one run for an idempotency key, whatever crashes and whoever asks again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from celeriac.errors import (
    CeleriacError,
    ResultsUnavailableError,
    RunNotFoundError,
    UnconfirmedError,
)
from celeriac.runs.draft import Draft
from celeriac.runs.idempotency import Claim, Keys, Outcome
from celeriac.runs.options import SubmitOptions
from celeriac.runs.run import Run, RunState
from celeriac.runs.submission import Submitter

Get = Callable[[str], Run]
MakeDraft = Callable[[str], Draft]
WAITING = (RunState.PENDING, RunState.SCHEDULED)


class Once:
    """Submits and resubmits under idempotency keys.

    Every method raises what the same call without a key does, and besides

        InvalidKeyError: no key looks like this.
        KeyReusedError: the key came with another request before.
        KeyInProgressError: the first request with it is still being carried out.
    """

    def __init__(self, submitter: Submitter, keys: Keys, get: Get) -> None:
        self._submitter = submitter
        self._keys = keys
        self._get = get

    def submit(
        self, key: str, task_name: str, args: Mapping[str, JsonValue], options: SubmitOptions
    ) -> Outcome:
        """Submit a run, or give the one that this key was used for."""

        def draft(run_id: str) -> Draft:
            return self._submitter.draft(task_name, args, options, run_id=run_id)

        request = ("submit", task_name, args, _asked(options))
        return self._once(key, request, draft)

    def resubmit(
        self,
        key: str,
        earlier_id: str,
        args: Mapping[str, JsonValue] | None,
        options: SubmitOptions | None,
    ) -> Outcome:
        """Resubmit a run, or give the new one that this key was used for."""

        def draft(run_id: str) -> Draft:
            return self._submitter.redraft(self._get(earlier_id), args, options, run_id=run_id)

        request = ("resubmit", earlier_id, args, _asked(options))
        return self._once(key, request, draft)

    def _once(
        self,
        key: str,
        request: Sequence[Any],
        draft: MakeDraft,
    ) -> Outcome:
        claim = self._keys.claim(key, request)
        if claim.answer:
            return Outcome(claim.answer, is_replay=True)
        try:
            return self._carried_out(claim, draft(claim.run_id))
        except CeleriacError as error:
            with suppress(ResultsUnavailableError):
                unconfirmed = isinstance(error, UnconfirmedError)
                self._keys.release(claim, maybe_published=unconfirmed)
            raise

    def _carried_out(self, claim: Claim, draft: Draft) -> Outcome:
        known = self._known(claim.run_id) if claim.is_again else None
        if known is None:
            return Outcome(self._submitter.accept(draft, claim))
        if known.state in WAITING:
            # Whether its message went out, nobody knows; two messages of one run are still one run.
            return Outcome(self._submitter.accept(replace(draft, run=known), claim))
        self._keys.settle(claim, known)
        return Outcome(known, is_replay=True)

    def _known(self, run_id: str) -> Run | None:
        with suppress(RunNotFoundError):
            return self._get(run_id)
        return None


def _asked(options: SubmitOptions | None) -> dict[str, Any]:
    return options.model_dump(mode="json", exclude_unset=True) if options else {}
