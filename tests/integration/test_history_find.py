"""Finding runs in the history: the same on both databases."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from uuid_utils import uuid7

from celeriac.errors import InvalidInputError
from celeriac.history import History, RunFilter
from history_events import Stream, any_filter, at, every, ids, many, meets


def test_find_gives_what_each_filter_means(history: History) -> None:
    history.apply(many(300).events)
    everything = every(history, limit=1000)
    assert len(everything) == 300
    chance = random.Random(11)

    for _ in range(120):
        wanted = any_filter(chance, everything)
        expected = [run.id for run in everything if meets(run, wanted)]
        assert ids(every(history, wanted, limit=chance.choice([3, 50, 1000]))) == expected, wanted
        assert history.count(wanted).total == len(expected), wanted


def test_find_pages_have_no_gap_and_no_repeat_while_runs_come_in(history: History) -> None:
    stream = many(50)
    history.apply(stream.events)
    before = set(ids(every(history, limit=1000)))
    newer = Stream()
    seen: list[str] = []
    cursor = None
    while True:
        page = history.find(RunFilter(), cursor, limit=4)
        seen.extend(ids(page.runs))
        newer.run(5000 + len(seen))
        history.apply(newer.events)
        if (cursor := page.next_cursor) is None:
            break

    assert len(seen) == len(set(seen))
    assert set(seen) == before


def test_find_orders_runs_of_one_instant_by_identifier(history: History) -> None:
    stream = Stream()
    made = [stream.run(5, id=f"run-{number:02}") for number in range(20)]
    history.apply(stream.events)

    assert ids(every(history, limit=3)) == made[::-1]


def test_find_orders_uuid7_runs_by_their_own_time(history: History) -> None:
    made = [str(uuid7()) for _ in range(30)]
    stream = Stream()
    for number, run_id in enumerate(made):
        stream.run(-number, id=run_id)
    history.apply(stream.events)

    assert ids(every(history)) == made[::-1]


def test_find_has_no_cursor_on_the_last_page(history: History) -> None:
    stream = Stream()
    for _ in range(4):
        stream.run(0)
    history.apply(stream.events)

    assert history.find(limit=4).next_cursor is None
    assert history.find(limit=3).next_cursor is not None


def test_find_refuses_a_wrong_cursor_by_name(history: History) -> None:
    with pytest.raises(InvalidInputError) as caught:
        history.find(cursor="nonsense")

    assert caught.value.problems[0].pointer == "/cursor"


@pytest.mark.parametrize(
    "needle",
    ["größe", "GRÖSSE 7"[:2], "100% WRONG", "valueerror", 'say "HI"', "back\\slash", "line\nbreak",
     "snake_case", "ÉTÉ"],
)  # fmt: skip
def test_find_finds_text_as_it_was_written(history: History, needle: str) -> None:
    stream = Stream()
    words = {"a": 'Say "hi"', "b": "back\\slash", "c": "line\nbreak", "d": "snake_case", "e": "été"}
    found = stream.run(0, "FAILURE", args=words)
    stream.run(1, args={"a": "snakeXcase 100x wrong"})
    history.apply(stream.events)

    assert ids(history.find(RunFilter(text=needle)).runs) == [found]


def test_find_searches_text_of_the_last_week_only_unless_told(history: History) -> None:
    stream = Stream()
    old = stream.run(-8 * 86_400, args={"text": "needle"})
    new = stream.run(0, args={"text": "needle"})
    history.apply(stream.events)

    assert ids(history.find(RunFilter(text="needle")).runs) == [new]
    assert ids(history.find(RunFilter(text="needle", since=at(-9 * 86_400))).runs) == [new, old]


def test_lineage_is_found(history: History) -> None:
    stream = Stream()
    root = stream.run(0, id="root", root_id="root")
    child = stream.run(1, parent_id=root, root_id=root)
    grandchild = stream.run(2, parent_id=child, root_id=root)
    again = stream.run(3, resubmit_of=child)
    history.apply(stream.events)

    assert ids(history.find(RunFilter(parent_id=root)).runs) == [child]
    assert ids(history.find(RunFilter(resubmit_of=child)).runs) == [again]
    assert ids(history.find(RunFilter(root_id=root)).runs) == [grandchild, child, root]


def test_count_stops_at_its_cap(history: History) -> None:
    history.apply(many(30).events)

    assert (history.count(cap=10).total, history.count(cap=10).capped) == (10, True)
    assert (history.count(cap=30).total, history.count(cap=30).capped) == (30, False)


def test_names_are_distinct_and_sorted(history: History) -> None:
    assert history.names().tasks == ()
    stream = Stream()
    for task, queue, tags in (("b", "q2", ["z"]), ("a", "q1", ["y", "z"]), ("b", "q1", [])):
        stream.run(0, task=task, queue=queue, tags=tags)
    history.apply(stream.events)

    names = history.names()
    assert (names.tasks, names.queues, names.workers, names.tags) == (
        ("a", "b"), ("q1", "q2"), ("celery@one",), ("y", "z")
    )  # fmt: skip


def test_ids_of_the_walk_are_those_of_the_list(history: History) -> None:
    stream = Stream()
    for number in range(25):
        state = ("FAILURE", "SUCCESS", "PENDING", "STARTED")[number % 4]
        stream.run(number, state, task=("a", "b")[number % 2])
    history.apply(stream.events)
    wanted = RunFilter(tasks=("a",), states=("FAILURE", "PENDING", "STARTED"))

    batches = list(history.ids(wanted, batch=4))

    assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    assert [run_id for batch in batches for run_id in batch] == ids(every(history, wanted))


def test_history_knows_what_was_submitted_again(history: History) -> None:
    stream = Stream()
    first, second = stream.run(0, "FAILURE"), stream.run(1, "FAILURE")
    stream.run(2, resubmit_of=first)
    stream.run(3, resubmit_of=first)
    history.apply(stream.events)

    assert history.resubmitted([first, second, "other"]) == {first}


def test_run_that_was_held_waits_only_since_its_eta(history: History) -> None:
    stream = Stream()
    stream.run(0, "PENDING", queue="held", eta=at(3000).isoformat())
    stream.run(1000, "PENDING", queue="mixed")
    stream.run(0, "PENDING", queue="mixed", eta=at(2000).isoformat())
    stream.run(0, "SCHEDULED", queue="later", eta=at(100_000).isoformat())
    stream.run(500, "SUCCESS", queue="mixed")
    history.apply(stream.events)

    found = history.oldest_waiting(["held", "mixed", "later"])

    assert found == {"held": at(3000), "mixed": at(1000)}


def test_waiting_runs_are_counted_as_far_as_asked(history: History) -> None:
    stream = Stream()
    for number in range(5):
        stream.run(number, "PENDING", queue="many")
    stream.run(0, "SCHEDULED", queue="many", eta=at(100_000).isoformat())
    stream.run(0, "REVOKED", queue="many")
    history.apply(stream.events)

    assert history.count_waiting({"many": 10, "none": 10}) == {"many": 5, "none": 0}
    assert history.count_waiting({"many": 3}) == {"many": 3}


def test_runs_that_ended_within_a_time_are_found_by_when_they_ended(history: History) -> None:
    stream = Stream()
    early, late = (stream.run(second, "FAILURE") for second in (0, 100))
    stream.run(100, "SUCCESS")
    stream.run(100, "PENDING")
    history.apply(stream.events)
    within = RunFilter(states=("FAILURE",), finished_since=at(50), finished_until=at(500))

    assert ids(history.find(within).runs) == [late]
    assert ids(history.find(RunFilter(finished_until=at(50))).runs) == [early]
    assert history.count(RunFilter(finished_since=at(50)), 10).total == 2
    if history.database.dialect == "sqlite":
        plan = _plan(history, lambda: history.find(within))
        assert "ix_runs_state_finished_at_created_at_id" in plan


def test_index_gives_the_run_that_waits_longest(history: History) -> None:
    stream = Stream()
    for number in range(2000):
        stream.run(number / 1000, "PENDING", queue="held", eta=at(100_000).isoformat())
    history.apply(stream.events)

    if history.database.dialect == "sqlite":
        assert "ix_runs_due" in _plan(history, lambda: history.oldest_waiting(["held"]))
    assert history.oldest_waiting(["held"]) == {}


def _plan(history: History, ask: Callable[[], object]) -> str:
    """Give how the database finds out."""
    seen: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if not statement.startswith("EXPLAIN"):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(str(row) for row in cursor.fetchall())

    event.listen(history.database.engine, "before_cursor_execute", explain)
    ask()
    event.remove(history.database.engine, "before_cursor_execute", explain)
    return " ".join(seen)
