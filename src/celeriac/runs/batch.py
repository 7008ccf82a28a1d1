"""Many submissions at once: read line by line, published chunk by chunk, answered in order.

While a chunk is read, those before it are under way: one thread writes their records and sends
their messages, another waits for the confirms and tells of the runs. Both take one chunk after the
other, so that messages keep the order of their lines.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from celeriac.runs.sending import Landing
from celeriac.runs.store import RunStore
from celeriac.runs.submission import Submitter

CHUNK_LINES = 100
AHEAD = 1
"""How many chunks may be under way while another one is read. Were there more, more lines would be
unsure when a server goes away in the middle."""
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


@dataclass(frozen=True)
class _UnderWay:
    """A chunk whose messages are being published."""

    steps: list[_Step]
    drafts: list[Draft]
    landing: Future[list[CeleriacError | None]]


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, f"celeriac-batch-{name}")


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
        under_way: deque[_UnderWay] = deque()
        failure: Exception | None = None
        with _thread("sends") as self._sending, _thread("lands") as self._landing:
            try:
                for steps in self._chunks(lines):
                    under_way.append(self._begun(steps))
                    if len(under_way) > AHEAD:
                        yield from self._answered(under_way.popleft())
            except Exception as error:  # No more can be read; what is under way is answered first.
                failure = error
            while under_way:
                yield from self._answered(under_way.popleft())
        if failure:
            raise failure

    def _chunks(self, lines: Iterable[Line]) -> Iterator[list[_Step]]:
        steps: list[_Step] = []
        size_bytes = 0
        for line in lines:
            if line.is_blank:
                continue
            steps.append(self._read(line))
            size_bytes += line.size_bytes
            if len(steps) >= CHUNK_LINES or size_bytes >= CHUNK_BYTES:
                yield steps
                steps, size_bytes = [], 0
        yield steps

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

    def _begun(self, steps: list[_Step]) -> _UnderWay:
        """Publish what is ready, in the background."""
        drafts = [step.draft for step in steps if step.draft]
        sending = self._sending.submit(self._sent, drafts)
        return _UnderWay(steps, drafts, self._landing.submit(lambda: sending.result()()))

    def _answered(self, chunk: _UnderWay) -> Iterator[LineAnswer]:
        """Submit the lines with keys one by one, and answer all in order."""
        published = self._outcomes(chunk)
        for step in chunk.steps:
            if step.draft:
                yield step.answer(step.draft.run.id, published[step.draft.run.id])
            elif step.keyed:
                yield self._submitted_once(step, step.keyed)
            else:
                yield step.answer(None, step.error)

    def _outcomes(self, chunk: _UnderWay) -> dict[str, CeleriacError | None]:
        """Wait for a chunk; what nobody foresaw is answered too, and no answer so far is lost."""
        ids = [draft.run.id for draft in chunk.drafts]
        try:
            errors = chunk.landing.result()
        except Exception:
            log.exception("A chunk of %d lines failed.", len(ids))
            errors = [UnconfirmedError(run_id) for run_id in ids]
        else:
            for error in errors:
                self._note(error)
        return dict(zip(ids, errors, strict=True))

    def _sent(self, drafts: list[Draft]) -> Landing:
        """Write the records of runs, and send their messages."""
        if (given_up := self._given_up) or not drafts:
            return lambda: [given_up] * len(drafts)
        try:
            self._store.add_all([draft.run for draft in drafts])
        except ResultsUnavailableError as error:
            away = self._given_up = error
            self._forget(drafts)
            return lambda: [away] * len(drafts)
        land = self._broker.send_all(drafts)

        def landed() -> list[CeleriacError | None]:
            errors = land()
            self._tell(drafts, errors)
            return errors

        return landed

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
