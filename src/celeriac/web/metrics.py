"""`/metrics`, for Prometheus and all that read its format; docs/reference/metrics.md lists them.

What cannot be known for now is left out, and `celeriac_answers` says which part it is: a zero that
nobody has counted would hide what an alert waits for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from celeriac.runs import Measures, Queue, RecorderLag, StatsBucket, Worker, WorkerState
from celeriac.web.context import runs

metrics = Blueprint("metrics", __name__)

OF_QUEUES: Final = {
    "ready": "Messages that wait for a worker.",
    "taken": "Messages that workers hold: executed, or fetched ahead.",
    "running": "Runs that workers execute.",
    "consumers": "Workers that take messages from the queue.",
    "paused": "1 while workers leave the queue alone.",
}
QUANTILES: Final = {"0.5": "p50", "0.95": "p95"}


@metrics.get("/metrics")
def show() -> Response:
    """Tell everything that is known now."""
    registry = CollectorRegistry()
    registry.register(_Told(runs().measures.measure()))
    answer = Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    answer.headers["Cache-Control"] = "no-store"
    return answer


class _Told:
    """What was measured, as Prometheus' client asks for it."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        measures = self._measures
        yield _answers(measures)
        if measures.queues.value is not None:
            yield from _queues(measures.queues.value)
        if measures.workers.value is not None:
            yield _workers(measures.workers.value)
        if measures.letters.value is not None:
            values = _labelled(measures.letters.value)
            yield _gauge("dead_letters", "Dead letters.", ["queue"], values)
        if measures.lag.value is not None:
            yield from _recorder(measures.lag.value)
        if measures.recent.value is not None:
            yield from _recent(measures.recent.value)


def _answers(measures: Measures) -> Metric:
    parts = {
        "queues": measures.queues.value and all(q.ready is not None for q in measures.queues.value),
        "workers": measures.workers.value is not None,
        "dead_letters": measures.letters.value is not None,
        "recorder": measures.lag.value is not None,
        "history": measures.recent.value is not None,
    }
    words = "1 where this part answered, 0 where its metrics are missing."
    return _gauge("answers", words, ["part"], _labelled({n: bool(v) for n, v in parts.items()}))


def _queues(queues: Sequence[Queue]) -> Iterator[Metric]:
    for measure, words in OF_QUEUES.items():
        told = {each.name: getattr(each, measure) for each in queues}
        values = {name: value for name, value in told.items() if value is not None}
        yield _gauge(f"queue_{measure}", words, ["queue"], _labelled(values))
    now = datetime.now(UTC)
    # Where messages wait of which the history knows no run, nobody knows for how long.
    known = [each for each in queues if each.ready == 0 or each.oldest_waiting_at]
    ages = {each.name: _age_s(each, now) for each in known}
    words = "How long the run has waited that waits longest; 0 where none does."
    yield _gauge("queue_oldest_waiting_seconds", words, ["queue"], _labelled(ages))


def _age_s(queue: Queue, now: datetime) -> float:
    since = queue.oldest_waiting_at
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _workers(workers: Iterable[Worker]) -> Metric:
    states = [each.state for each in workers]
    counts = {state.value: states.count(state) for state in WorkerState}
    words = "Workers that gave a sign of life within a day; `lost` ones went without a word."
    return _gauge("workers", words, ["state"], _labelled(counts))


def _recorder(lag: RecorderLag) -> Iterator[Metric]:
    lost = lag.losses.entries if lag.losses else 0
    for name, words, value in (
        ("running", "1 while a recorder runs and can record.", lag.is_running and not lag.problem),
        ("waiting_events", "Events that wait to be recorded.", lag.entries),
        ("lag_seconds", "How long the event has waited that waits longest.", lag.waiting_s),
        ("lost_events", "Events of the last week that were never recorded.", lost),
    ):
        yield _gauge(f"recorder_{name}", words, [], [((), float(value))])


def _recent(bucket: StatsBucket) -> Iterator[Metric]:
    outcomes = ("submitted", "succeeded", "failed", "revoked")
    counts = {outcome: getattr(bucket, outcome) for outcome in outcomes}
    words = "Runs of the last five minutes: submitted, and ended."
    yield _gauge("runs_recent", words, ["outcome"], _labelled(counts))
    for measure, words in (("runtime", "How long runs took"), ("waiting", "How long runs waited")):
        values = {label: getattr(bucket, f"{measure}_{p}_s") for label, p in QUANTILES.items()}
        known = {label: value for label, value in values.items() if value is not None}
        name = f"run_{measure}_seconds"
        yield _gauge(name, f"{words} in the last five minutes.", ["quantile"], _labelled(known))


def _labelled(values: Mapping[str, float]) -> "_Values":
    return [((label,), float(value)) for label, value in values.items()]


_Values = list[tuple[tuple[str, ...], float]]


def _gauge(name: str, words: str, labels: list[str], values: _Values) -> Metric:
    family = GaugeMetricFamily(f"celeriac_{name}", words, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
