"""Many submissions at once: read line by line, published chunk by chunk, answered in order."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FaultError,
    ResultsUnavailableError,
    TransientError,
    UnconfirmedError,
)
from celeriac.runs.broker import Broker
from celeriac.runs.draft import Draft
from celeriac.runs.lines import BatchLine, Line
from celeriac.runs.once import Once
from celeriac.runs.store import RunStore
from celeriac.runs.submission import Submitter

CHUNK_LINES = 200
CHUNK_BYTES = 1024 * 1024
FAILURES_MAX = 3
"""After so many failures in a row, nothing more of a batch is tried."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineAnswer:
    """What has become of one line: a run, or what was wrong."""

    line: int
    run_id: str | None = None
    error: CeleriacError | None = None


@dataclass(frozen=True)
class _Step:
    """A line that was read: ready to be published, to be submitted once, or refused already."""

    number: int
    draft: Draft | None = None
    keyed: BatchLine | None = None
    error: CeleriacError | None = None

    def answer(self, run_id: str | None, error: CeleriacError | None = None) -> LineAnswer:
        return LineAnswer(self.number, None if error else run_id, error)


class Batch:
    """Submits the lines of one request; make a new one for each."""

    def __init__(self, submitter: Submitter, once: Once, broker: Broker, store: RunStore) -> None:
        self._submitter = submitter
        self._once = once
        self._broker = broker
        self._store = store
        self._failures = 0
        self._given_up: TransientError | None = None

    def answers(self, lines: Iterable[Line]) -> Iterator[LineAnswer]:
        """Submit each line and give its answer, in order; a blank line is counted and has none."""
        steps: list[_Step] = []
        size_bytes = 0
        for line in lines:
            if line.is_blank:
                continue
            steps.append(self._read(line))
            size_bytes += line.size_bytes
            if len(steps) >= CHUNK_LINES or size_bytes >= CHUNK_BYTES:
                yield from self._submit(steps)
                steps, size_bytes = [], 0
        yield from self._submit(steps)

    def _read(self, line: Line) -> _Step:
        try:
            body = line.body()
            if body.idempotency_key is not None:
                return _Step(line.number, keyed=body)
            return _Step(
                line.number, draft=self._submitter.draft(body.task, body.args, body.options)
            )
        except CeleriacError as error:
            return _Step(line.number, error=error)
        except Exception:
            return _Step(line.number, error=_fault(line.number))

    def _submit(self, steps: list[_Step]) -> Iterator[LineAnswer]:
        """Publish what is ready at once, the rest one by one, and answer all in order."""
        published = self._published_or_not([step.draft for step in steps if step.draft])
        for step in steps:
            if step.draft:
                yield step.answer(step.draft.run.id, published[step.draft.run.id])
            elif step.keyed:
                yield self._submitted_once(step, step.keyed)
            else:
                yield step.answer(None, step.error)

    def _published_or_not(self, drafts: list[Draft]) -> dict[str, CeleriacError | None]:
        """Publish; what nobody foresaw is answered too, and no answer given so far is lost."""
        try:
            return self._published(drafts)
        except Exception:
            log.exception("A chunk of %d lines failed.", len(drafts))
            return {draft.run.id: UnconfirmedError(draft.run.id) for draft in drafts}

    def _published(self, drafts: list[Draft]) -> dict[str, CeleriacError | None]:
        if not drafts or self._given_up:
            return dict.fromkeys((draft.run.id for draft in drafts), self._given_up)
        try:
            self._store.add_all([draft.run for draft in drafts])
        except ResultsUnavailableError as error:
            self._given_up = error
            self._forget(drafts)
            return dict.fromkeys((draft.run.id for draft in drafts), error)
        errors = self._broker.publish_all(drafts)
        self._tell(drafts, errors)
        for outcome in errors:
            self._note(outcome)
        return dict(zip((draft.run.id for draft in drafts), errors, strict=True))

    def _tell(self, drafts: list[Draft], errors: list[CeleriacError | None]) -> None:
        outcomes = list(zip(drafts, errors, strict=True))
        with suppress(ResultsUnavailableError):
            # The broker has the messages; if nobody can be told now, the workers' events tell it.
            self._store.tell_all(
                [draft.run for draft, error in outcomes if error is None],
                [draft.run for draft, error in outcomes if error is not None],
            )

    def _forget(self, drafts: list[Draft]) -> None:
        with suppress(ResultsUnavailableError):
            self._store.tell_all([], [draft.run for draft in drafts])

    def _submitted_once(self, step: _Step, body: BatchLine) -> LineAnswer:
        if self._given_up:
            return step.answer(None, self._given_up)
        assert body.idempotency_key is not None
        try:
            outcome = self._once.submit(body.idempotency_key, body.task, body.args, body.options)
        except CeleriacError as error:
            self._note(error)
            return step.answer(None, error)
        except Exception:
            return step.answer(None, _fault(step.number))
        self._note(None)
        return step.answer(outcome.run.id)

    def _note(self, error: CeleriacError | None) -> None:
        """Count what fails for now, and give up when it goes on."""
        if not isinstance(error, (BrokerUnavailableError, ResultsUnavailableError)):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._given_up = _not_tried(error)


def _fault(line: int) -> FaultError:
    log.exception("Line %d of a batch failed.", line)
    return FaultError()


def _not_tried(error: TransientError) -> TransientError:
    """Say of the lines to come that they were not even tried."""
    if isinstance(error, UnconfirmedError):
        return BrokerUnavailableError(
            "The broker does not answer, so nothing was submitted. Send the line again."
        )
    return error
