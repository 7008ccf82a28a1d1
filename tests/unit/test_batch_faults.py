"""Batches in which something goes wrong that nobody foresaw: the other lines are answered."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from typing import Any, cast

import pytest

from celeriac.app import create_app
from celeriac.errors import FaultError, UnconfirmedError
from celeriac.runs.batch import Batch
from celeriac.runs.broker import Broker
from celeriac.runs.draft import Draft
from celeriac.runs.lines import Line, Lines
from celeriac.runs.once import Once
from celeriac.runs.sending import Landing, turn
from celeriac.runs.store import RunStore
from celeriac.runs.submission import Submitter
from celeriac.settings import load_settings


class Parts:
    """Submitter, broker and store; some of them fail for lines of certain tasks."""

    def draft(self, task: str, *_: Any, **__: Any) -> Any:
        if task == "unforeseen":
            raise ZeroDivisionError
        return SimpleNamespace(run=SimpleNamespace(id=task))

    def add_all(self, runs: Sequence[Any]) -> None:
        pass

    def tell_all(self, accepted: Sequence[Any], refused: Sequence[Any]) -> None:
        pass

    def send_all(self, drafts: Sequence[Draft]) -> Landing:
        if any(draft.run.id == "broken" for draft in drafts):
            raise ZeroDivisionError
        return lambda: [None] * len(drafts)


def _answers(*tasks: str) -> list[tuple[int, type[Exception] | None]]:
    parts = Parts()
    batch = Batch(
        cast(Submitter, parts), cast(Once, parts), cast(Broker, parts), cast(RunStore, parts)
    )
    text = "".join(f'{{"task":"{task}"}}\n' for task in tasks).encode()
    answers = batch.answers(Lines(io.BytesIO(text), 1000))
    return [(each.line, type(each.error) if each.error else None) for each in answers]


def test_line_that_cannot_be_checked_is_answered_and_the_others_go_on() -> None:
    assert _answers("one", "unforeseen", "two") == [(1, None), (2, FaultError), (3, None)]


def test_no_answer_is_lost_when_publishing_fails() -> None:
    tasks = ["one"] * 200 + ["broken"]

    answers = _answers(*tasks)

    assert answers == [(n, None) for n in range(1, 201)] + [(201, UnconfirmedError)]


@pytest.mark.parametrize("address", ["redis://localhost/0", "amqp://localhost//"])
def test_many_more_than_ten_may_publish_at_once(address: str) -> None:
    settings = load_settings(join_stack=False, broker_url=address, redis_url="redis://localhost/1")
    app = create_app(settings, publisher=True)
    all_there = Barrier(40)

    def publish() -> int:
        with turn(app.pool):
            return all_there.wait(10)

    with ThreadPoolExecutor(40) as threads:
        places = [threads.submit(publish) for _ in range(40)]

    assert sorted(place.result() for place in places) == list(range(40))


def test_what_was_sent_is_answered_before_a_reader_that_fails_is_told_of() -> None:
    parts = Parts()
    batch = Batch(
        cast(Submitter, parts), cast(Once, parts), cast(Broker, parts), cast(RunStore, parts)
    )
    found: list[int] = []

    with pytest.raises(PermissionError):
        for answer in batch.answers(_lines_until_failure(600)):
            found.append(answer.line)

    assert found == list(range(1, 601))


def _lines_until_failure(count: int) -> Iterator[Line]:
    yield from (Line(number, b'{"task": "one"}', 1000) for number in range(1, count + 1))
    raise PermissionError
