"""Runs: submit one, look at it, wait for it, cancel it. Web and CLI ask here for everything.

Each name is imported when it is first asked for: who only reads the history needs neither Celery
nor Redis, and a command starts in half the time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.fleet.record import ActiveRun, Worker, WorkerState
    from celeriac.history import Names, RunCount, RunFilter
    from celeriac.lag import RecorderLag
    from celeriac.runs.attempts import Attempt, AttemptList, attempts_of
    from celeriac.runs.batch import LineAnswer
    from celeriac.runs.bulk_progress import BulkProgress
    from celeriac.runs.dead_letters import DeadLetters
    from celeriac.runs.follow import News
    from celeriac.runs.history import RunHistory
    from celeriac.runs.idempotency import Outcome
    from celeriac.runs.letter_progress import LetterProgress
    from celeriac.runs.letters import Letter, LetterGroup, LetterList, LetterSelection
    from celeriac.runs.lineage import Lineage, RunSummary
    from celeriac.runs.lines import BatchLine
    from celeriac.runs.log import LogLine, LogPage
    from celeriac.runs.measures import Measures
    from celeriac.runs.once import Once
    from celeriac.runs.options import SubmitOptions
    from celeriac.runs.overview import SPANS, USUAL_SPAN, Glance, Span
    from celeriac.runs.parts import Part
    from celeriac.runs.purge import Purged
    from celeriac.runs.query import instant_of, run_filter, words_of
    from celeriac.runs.queues import Queue, Queues
    from celeriac.runs.recorded import recorded_stats
    from celeriac.runs.resubmission import known_arguments, missing, still_missing, without_marks
    from celeriac.runs.run import Progress, Run, RunError, RunList, RunState, json_of
    from celeriac.runs.runs import Runs
    from celeriac.runs.statistics import Failure, FailureList, Stats, StatsBucket
    from celeriac.runs.stream import EventStream
    from celeriac.runs.strict_json import strict_loads
    from celeriac.runs.workers import Workers

_NAMES = {
    "celeriac.fleet.record": "ActiveRun Worker WorkerState",
    "celeriac.history": "Names RunCount RunFilter",
    "celeriac.lag": "RecorderLag",
    "celeriac.runs.attempts": "Attempt AttemptList attempts_of",
    "celeriac.runs.batch": "LineAnswer",
    "celeriac.runs.bulk_progress": "BulkProgress",
    "celeriac.runs.dead_letters": "DeadLetters",
    "celeriac.runs.follow": "News",
    "celeriac.runs.history": "RunHistory",
    "celeriac.runs.idempotency": "Outcome",
    "celeriac.runs.letter_progress": "LetterProgress",
    "celeriac.runs.letters": "Letter LetterGroup LetterList LetterSelection",
    "celeriac.runs.lineage": "Lineage RunSummary",
    "celeriac.runs.lines": "BatchLine",
    "celeriac.runs.log": "LogLine LogPage",
    "celeriac.runs.measures": "Measures",
    "celeriac.runs.once": "Once",
    "celeriac.runs.options": "SubmitOptions",
    "celeriac.runs.overview": "SPANS USUAL_SPAN Glance Span",
    "celeriac.runs.parts": "Part",
    "celeriac.runs.purge": "Purged",
    "celeriac.runs.query": "instant_of run_filter words_of",
    "celeriac.runs.queues": "Queue Queues",
    "celeriac.runs.recorded": "recorded_stats",
    "celeriac.runs.resubmission": "known_arguments missing still_missing without_marks",
    "celeriac.runs.run": "Progress Run RunError RunList RunState json_of",
    "celeriac.runs.runs": "Runs",
    "celeriac.runs.statistics": "Failure FailureList Stats StatsBucket",
    "celeriac.runs.stream": "EventStream",
    "celeriac.runs.strict_json": "strict_loads",
    "celeriac.runs.workers": "Workers",
}
"""The same for the interpreter: a module, and the names that it gives."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found
