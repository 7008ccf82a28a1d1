"""What the history records and sums up, keeps and forgets: the same on both databases."""

import json
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.events import Event, EventKind
from celeriac.history import History, RunFilter
from history_events import ERROR, START, Stream, at, every, ids, many


def test_apply_keeps_all_that_a_run_is(history: History) -> None:
    stream = Stream()
    args = {"text": "naïve \0 \ud800", "n": 2**70, "deep": [None, True, {"x": 1.5}]}
    run_id = stream.run(
        0, args=args, queue="fast", priority=4, tags=["a", "b"], result=["ok"], parent_id="p",
        root_id="r", resubmit_of="old", eta=at(-5).isoformat(),
    )  # fmt: skip
    history.apply(stream.events)

    run = history.get(run_id)
    assert run is not None
    assert run.args == args | {"text": "naïve \0 \ufffd"}
    assert (run.state, run.result, run.queue, run.priority) == ("SUCCESS", ["ok"], "fast", 4)
    assert (run.tags, run.worker, run.attempts) == (("a", "b"), "celery@one", 1)
    assert (run.parent_id, run.root_id, run.resubmit_of) == ("p", "r", "old")
    assert (run.submitted_at, run.eta) == (at(0), at(-5))
    assert (run.started_at, run.finished_at) == (at(1), at(3))


def test_get_knows_no_run_that_was_never_recorded(history: History) -> None:
    assert history.get("nothing") is None
    assert history.attempts("nothing") == ()
    assert history.logs("nothing") == []


def test_apply_gives_the_same_rows_in_any_batches_order_and_repetition(history: History) -> None:
    stream = many(60)
    history.apply(stream.events)
    expected = every(history, limit=1000)
    expected_stats = history.stats(at(-60), at(4000))

    shuffled = random.Random(7).sample(stream.events * 2, k=len(stream.events) * 2)
    for event_ in shuffled[:40]:
        history.apply([event_])
    for begin in range(40, len(shuffled), 100):
        history.apply(shuffled[begin : begin + 100])

    assert every(history, limit=1000) == expected
    assert history.stats(at(-60), at(4000)) == expected_stats


def test_apply_in_single_shuffled_events_ends_like_one_batch(history: History) -> None:
    stream = many(40)
    shuffled = random.Random(3).sample(stream.events * 2, k=len(stream.events) * 2)
    for begin in range(0, len(shuffled), 9):
        history.apply(shuffled[begin : begin + 9])
    piecemeal = (every(history, limit=1000), history.stats(at(-60), at(4000)), history.names())
    for tag in piecemeal[2].tags:
        assert {run.id for run in piecemeal[0] if tag in run.tags} == set(
            ids(every(history, RunFilter(tags=(tag,))))
        )

    for _ in history.prune(older_than=at(10**6)):
        pass
    assert history.find().runs == ()
    history.apply(stream.events)

    assert (every(history, limit=1000), history.stats(at(-60), at(4000)), history.names()) == (
        piecemeal
    )


def test_apply_takes_events_of_anybody(history: History) -> None:
    odd: list[Any] = [None, True, -1, 2**80, 1e300, "\0\ud800" * 400, ["\0"], {"type": {"\0": 1}}]
    keys = ("task", "args", "queue", "tags", "eta", "priority", "attempt", "worker", "error",
            "result", "parent_id", "current", "message", "level", "text", "logger")  # fmt: skip
    events = [
        Event(f"\0{'x' * 300}{number}", kind, START, dict.fromkeys(keys, value), f"1-{number}")
        for number, (kind, value) in enumerate((k, v) for k in EventKind for v in odd)
    ]

    history.apply(events)

    assert len(history.find().runs) == 1, "identifiers are cut alike"


def test_tables_of_several_histories_are_made_at_the_same_time(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{number}/history.db" for number in range(8)]
    with ThreadPoolExecutor(len(urls)) as threads:
        list(threads.map(lambda url: History(url).migrate(), urls))

    assert not any(History(url).find().runs for url in urls)


def test_apply_keeps_the_newest_log_lines_and_each_once(history_url: str) -> None:
    history = History(history_url, log_lines_kept=5)
    history.migrate()
    stream = Stream()
    for number in range(12):
        stream.add(
            "r",
            EventKind.LOG,
            number,
            level="WARNING",
            text=f"line {number}",
            logger="x",
            attempt=2,
        )
    history.apply(stream.events[:8])
    history.apply(stream.events[4:])
    history.apply(stream.events)

    lines = history.logs("r")
    assert [line.text for line in lines] == [f"line {number}" for number in range(7, 12)]
    assert (lines[0].level, lines[0].logger, lines[0].at) == ("WARNING", "x", at(7))
    assert lines[0].attempt == 2
    assert [line.text for line in history.logs("r", after=lines[2].seq)] == ["line 10", "line 11"]
    history.close()


def test_attempts_are_told_from_first_to_last(history: History) -> None:
    stream = Stream()
    run_id = stream.run(0, "RETRY")
    stream.add(run_id, EventKind.STARTED, 10, attempt=2, worker="celery@two")
    stream.add(run_id, EventKind.SUCCEEDED, 12, attempt=2, worker="celery@two", result=1)
    for event_ in stream.events:
        history.apply([event_])

    first, second = history.attempts(run_id)
    assert (first.state, first.worker, first.finished_at) == ("RETRY", "celery@one", at(3))
    assert first.error is not None and first.error.message == ERROR["message"]
    assert (second.state, second.worker, second.finished_at) == ("SUCCESS", "celery@two", at(12))


def test_stats_count_and_measure_by_time(history: History) -> None:
    start = START.replace(minute=0, second=0)
    offset = (start - START).total_seconds()
    stream = Stream()
    for number in range(10):
        stream.run(offset + number, "FAILURE" if number == 0 else "SUCCESS")
    stream.run(offset + 125, "REVOKED")
    stream.run(offset + 126, "PENDING")
    for event_ in stream.events:
        history.apply([event_])

    found = history.stats(start, start + timedelta(minutes=3), buckets=3)
    assert found.bucket_s == 60
    assert [(b.submitted, b.succeeded, b.failed, b.revoked) for b in found.buckets] == [
        (10, 9, 1, 0), (0, 0, 0, 0), (2, 0, 0, 1)
    ]  # fmt: skip
    assert found.buckets[0].runtime_p50_s == pytest.approx(2, rel=0.05)
    assert found.buckets[0].waiting_p95_s == pytest.approx(1, rel=0.05)
    assert found.buckets[1].runtime_p50_s is None
    assert (found.total.submitted, found.total.succeeded) == (12, 9)


def test_stats_over_days_give_the_same_sums(history: History) -> None:
    stream = many(80)
    history.apply(stream.events)

    by_minute = history.stats(at(-3600), at(7200), buckets=180)
    by_hour = history.stats(at(-3600 * 24 * 30), at(7200), buckets=60)
    assert by_hour.bucket_s % 3600 == 0
    assert by_minute.bucket_s == 60
    assert by_minute.total.submitted == by_hour.total.submitted == 80
    assert by_minute.total.runtime_p95_s == by_hour.total.runtime_p95_s


def test_failures_are_grouped_by_what_they_say(history: History) -> None:
    stream = Stream()
    for number in range(4):
        error = {"type": "KeyError", "message": f"order {number} is gone"}
        last = stream.run(number * 10, "FAILURE", error=error)
    other = stream.run(15, "FAILURE", task="mail.send")
    stream.run(16, "RETRY")
    history.apply(stream.events)

    group, single = history.failures(at(8))
    assert (group.count, group.sample_id, group.error_type) == (3, last, "KeyError")
    assert (group.first_seen_at, group.last_seen_at) == (at(3), at(33))
    assert (single.sample_id, single.task, single.count) == (other, "mail.send", 1)
    assert len(history.find(RunFilter(fingerprint=group.fingerprint)).runs) == 4


def test_prune_by_age_removes_all_traces_of_old_runs(history: History) -> None:
    stream = Stream()
    old = stream.run(-5000, tags=["t"])
    stream.add(old, EventKind.LOG, -4999, text="x")
    later = stream.run(-5000, "PENDING", eta=at(5000).isoformat())
    changed = stream.run(-5000, "RETRY")
    stream.add(changed, EventKind.STARTED, 5, attempt=2)
    new = stream.run(10, tags=["t"])
    history.apply(stream.events)

    steps = list(history.prune(older_than=at(0)))

    assert [step.removed for step in steps] == [1]
    assert set(ids(history.find().runs)) == {later, changed, new}
    assert history.logs(old) == []
    assert ids(history.find(RunFilter(tags=("t",))).runs) == [new]


def test_prune_by_number_keeps_the_newest_and_the_unfinished(history: History) -> None:
    stream = Stream()
    waiting = stream.run(-1, "PENDING")
    made = [stream.run(number) for number in range(1200)]
    history.apply(stream.events)

    steps = [step.removed for step in history.prune(keep_newest=100)]

    assert steps == [500, 1000, 1100]
    assert ids(every(history, limit=500)) == [*made[:-101:-1], waiting]


def test_prune_without_limits_removes_nothing(history: History) -> None:
    history.apply(many(5).events)

    assert list(history.prune()) == []
    assert history.count().total == 5


def test_export_gives_a_line_of_json_for_each_run(history: History) -> None:
    stream = Stream()
    run_id = stream.run(0, "FAILURE", args={"text": "é\n"}, tags=["t"])
    history.apply(stream.events)

    (line,) = history.export()
    assert line.endswith("\n") and line.count("\n") == 1
    run = json.loads(line)
    assert (run["id"], run["state"], run["args"]) == (run_id, "FAILURE", {"text": "é\n"})
    assert run["submitted_at"] == at(0).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert run["error"]["type"] == "ValueError"
    assert run["tags"] == ["t"]


def test_export_needs_the_memory_of_a_page_only(history: History) -> None:
    stream = Stream()
    for number in range(3000):
        stream.run(number, args={"text": "x" * 1000})
    for begin in range(0, len(stream.events), 1000):
        history.apply(stream.events[begin : begin + 1000])
    next(history.export())
    tracemalloc.start()
    lines = sum(1 for _ in history.export(RunFilter(states=("SUCCESS",))))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert lines == 3000
    assert peak_bytes < 2_500_000
