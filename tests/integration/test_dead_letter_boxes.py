"""Many dead letters are gone through in their order, whatever others do to them meanwhile."""

import json
from collections.abc import Iterator
from itertools import islice
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection

from celeriac.queues import dead_queue
from celeriac.runs import LetterProgress, LetterSelection, Runs
from celeriac.runs.amqp_letter_box import AmqpBox
from celeriac.runs.letter_boxes import LetterBox, LetterCount
from celeriac.runs.redis_letter_box import RedisBox
from celeriac.settings import load_settings
from eventually import eventually
from servers import RabbitMQServer
from services import Services

QUEUE = "celery_see"
ALL = LetterSelection(all=True)
BODY = json.dumps([[], {}, {}])


@pytest.fixture
def runs(services: Services) -> Iterator[Runs]:
    settings = load_settings(
        join_stack=False, broker_url=services.broker_url, redis_url=services.redis_url
    )
    runs = Runs.of(settings)
    yield runs
    eventually(lambda: _last(runs.dead_letters.discard(ALL)).finished, deadline_s=20)


@pytest.fixture
def box(services: Services, runs: Runs) -> Iterator[LetterBox]:
    app = Celery(broker=services.broker_url, set_as_current=False)
    yield AmqpBox(app) if services.broker_url.startswith("amqp") else RedisBox(app)
    app.close()


@pytest.fixture
def on_amqp(services: Services) -> None:
    if not services.broker_url.startswith("amqp"):
        pytest.skip("Only RabbitMQ gives letters into somebody's hand.")


def _bury(broker_url: str, runs: Runs, count: int) -> list[str]:
    """Put messages of an unknown task among the dead letters; gives their runs."""
    run_ids = [str(uuid4()) for _ in range(count)]
    with Connection(broker_url) as connection, connection.Producer() as producer:
        declared = [dead_queue(QUEUE)] if broker_url.startswith("amqp") else []
        for run_id in run_ids:
            producer.publish(
                BODY,
                exchange="",
                routing_key=f"{QUEUE}.dead",
                headers={"id": run_id, "task": "no.such.task"},
                content_type="application/json",
                content_encoding="utf-8",
                declare=declared,
            )
        # RabbitMQ may drop what it has not confirmed when the connection closes.
        eventually(lambda: runs.dead_letters.counts() == {QUEUE: count}, deadline_s=30)
    return run_ids


def _met(box: LetterBox, most: int) -> list[str]:
    return [str(found.letter.headers["id"]) for found in box.go_through(QUEUE, most)]


def _last(progress: Iterator[LetterProgress]) -> LetterProgress:
    *_, last = progress
    return last


def test_letters_that_are_kept_stay_in_their_order(
    services: Services, runs: Runs, box: LetterBox
) -> None:
    sent = _bury(services.broker_url, runs, 1_100)

    for number, found in enumerate(box.go_through(QUEUE, 1_100)):
        if number % 3 == 0:
            found.remove()

    left = [run_id for number, run_id in enumerate(sent) if number % 3]
    eventually(lambda: runs.dead_letters.counts() == {QUEUE: len(left)}, deadline_s=20)
    assert _met(box, len(sent)) == left


@pytest.mark.timeout(300)
def test_look_at_some_letters_does_not_put_them_behind_the_others(
    services: Services, runs: Runs, box: LetterBox
) -> None:
    sent = _bury(services.broker_url, runs, 300)
    assert _met(box, 300) == sent

    assert _met(box, 200) == sent[:200]
    assert [found.letter.headers["id"] for found in islice(box.go_through(QUEUE, 300), 50)] == (
        sent[:50]
    )

    assert _met(box, 300) == sent


@pytest.mark.usefixtures("on_amqp")
@pytest.mark.parametrize("ends", [True, False])
def test_letters_that_were_removed_from_a_slow_queue_do_not_come_back(
    services: Services, runs: Runs, box: LetterBox, request: pytest.FixtureRequest, ends: bool
) -> None:
    sent = _bury(services.broker_url, runs, 150)
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")

    looking = box.go_through(QUEUE, 100 if ends else 150)
    first = next(looking)
    rabbitmq.pause_queue(services.broker_url, f"{QUEUE}.dead", for_s=5)
    for found in (first, *islice(looking, 99)):
        found.remove()
    if ends:
        assert list(looking) == []
    else:
        looking.close()  # type: ignore[attr-defined]

    eventually(lambda: runs.dead_letters.counts() == {QUEUE: 50}, deadline_s=20)
    assert _met(box, 150) == sent[100:]


def test_letters_that_others_remove_make_nobody_miss_one(services: Services, runs: Runs) -> None:
    if services.broker_url.startswith("amqp"):
        pytest.skip("On RabbitMQ others cannot remove what is in somebody's hand.")
    app = Celery(broker=services.broker_url, set_as_current=False)
    sent = _bury(services.broker_url, runs, 900)

    looking = RedisBox(app).go_through(QUEUE, 900)
    met = [found.letter.headers["id"] for found in islice(looking, 400)]
    for found in RedisBox(app).go_through(QUEUE, 350):
        found.remove()
    met += [found.letter.headers["id"] for found in looking]

    app.close()
    assert met == sent


@pytest.mark.usefixtures("on_amqp")
def test_replay_is_no_success_while_somebody_has_letters_in_hand(
    services: Services, runs: Runs, box: LetterBox
) -> None:
    _bury(services.broker_url, runs, 3)
    looking = box.go_through(QUEUE, 3)
    next(looking)

    last = _last(runs.dead_letters.replay(ALL))

    assert (last.done, last.finished) == (0, False)
    assert last.stopped and "Somebody else looks" in last.stopped
    assert len(list(looking)) == 2
    last = _last(runs.dead_letters.replay(ALL))
    assert (last.done, last.finished, last.stopped) == (3, True, None)


@pytest.mark.usefixtures("on_amqp")
def test_discard_takes_no_slow_queue_for_an_empty_one(
    services: Services, runs: Runs, request: pytest.FixtureRequest
) -> None:
    _bury(services.broker_url, runs, 3)
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    rabbitmq.pause_queue(services.broker_url, f"{QUEUE}.dead", for_s=5)

    last = _last(runs.dead_letters.discard(ALL))

    assert (last.done, last.finished) == (3, True)


@pytest.mark.usefixtures("on_amqp")
def test_count_tells_that_somebody_looks(services: Services, runs: Runs, box: LetterBox) -> None:
    _bury(services.broker_url, runs, 3)

    looking = box.go_through(QUEUE, 3)
    next(looking)
    assert eventually(lambda: box.counts([QUEUE]) == {QUEUE: LetterCount(0, is_looked_at=True)})

    list(looking)
    assert box.counts([QUEUE]) == {QUEUE: LetterCount(3)}


def test_replay_that_is_ended_while_it_waits_leaves_no_letter_twice(
    services: Services, runs: Runs, box: LetterBox
) -> None:
    sent = _bury(services.broker_url, runs, 2)

    progress = runs.dead_letters.replay(ALL, rate=0.01)
    waits = [each for each in islice(progress, 4) if each.done == 1]
    progress.close()  # type: ignore[attr-defined]

    assert len(waits) == 3  # It shows that it lives, though the next is 100 seconds away.
    eventually(lambda: runs.dead_letters.counts() == {QUEUE: 1}, deadline_s=20)
    assert _met(box, 2) == sent[1:]


def test_letter_that_was_told_of_is_not_told_of_again(services: Services, runs: Runs) -> None:
    sent = _bury(services.broker_url, runs, 3)

    assert runs.dead_letters.tell() == 3
    assert runs.dead_letters.tell() == 0
    assert {runs.get(run_id).state for run_id in sent} == {"DEAD"}
    assert runs.dead_letters.counts() == {QUEUE: 3}
