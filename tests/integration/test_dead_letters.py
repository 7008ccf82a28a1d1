"""Dead letters are kept until a person replays or discards them, on every broker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from celeriac.errors import InvalidInputError
from celeriac.runs import LetterList, LetterSelection, Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from eventually import eventually
from foreign_client import confirmed_producer, publish
from services import Services
from worker_process import running_worker

TESTS = str(Path(__file__).parents[1])
PROBES = {"CELERIAC_TASKS": "celeriac.tasks,probe_tasks", "PYTHONPATH": TESTS}
ALL = LetterSelection(all=True)


@pytest.fixture(scope="module")
def folder(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("letters")
    with running_worker(folder, *services, PROBES):
        yield folder


@pytest.fixture
def runs(services: Services, folder: Path) -> Iterator[Runs]:
    settings = load_settings(
        join_stack=False, broker_url=services.broker_url, redis_url=services.redis_url
    )
    runs = Runs.of(settings)
    yield runs
    eventually(lambda: [*runs.dead_letters.discard(ALL)][-1].finished, deadline_s=20)


@pytest.fixture
def api(services: Services, runs: Runs) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url=services.broker_url, redis_url=services.redis_url
    )
    return create_app(settings, runs).test_client()


def _letters(runs: Runs, count: int) -> LetterList:
    return eventually(
        lambda: (found := runs.dead_letters.find()).total == count and found, deadline_s=30
    )


def test_letter_tells_what_it_is_and_why_it_died(services: Services, runs: Runs) -> None:
    run_id = publish(services.broker_url, "no.such.task", text="ab")

    [letter] = _letters(runs, 1).letters

    assert (letter.run_id, letter.task, letter.queue) == (run_id, "no.such.task", "celery_see")
    assert letter.reason == "rejected" and letter.died_at
    assert letter.error and letter.error.type == "NotRegistered"
    assert (letter.args, letter.payload) == ({"text": "ab"}, None)
    assert letter.headers["id"] == run_id and "x-death" not in letter.headers
    assert runs.get(run_id).state == "DEAD"


def test_letter_shows_no_secrets(services: Services, runs: Runs) -> None:
    publish(services.broker_url, "no.such.task", password="hunter2", user="ann")

    [letter] = _letters(runs, 1).letters

    assert letter.args == {"password": {"$redacted": True}, "user": "ann"}
    assert "hunter2" not in letter.model_dump_json()


def test_letter_of_what_is_no_message_shows_its_body(services: Services, runs: Runs) -> None:
    publish(services.broker_url, None, b"{no json")

    [letter] = _letters(runs, 1).letters

    assert (letter.args, letter.payload, letter.task) == (None, "{no json", None)


def test_letters_of_no_run_tell_why_and_are_grouped_by_it(services: Services, runs: Runs) -> None:
    with confirmed_producer(services.broker_url) as producer:
        for body in ("a", "b"):
            producer.publish(
                body, content_type="text/plain", content_encoding="utf-8", exchange="",
                routing_key="celery_see",
            )  # fmt: skip
    publish(services.broker_url, None, b'{"a": 1}')

    groups = _letters(runs, 3).groups

    errors = [group.error for group in groups if group.error]
    assert [error.type for error in errors] == ["ContentDisallowed", "DeadLetterError"]
    assert "untrusted content of type text/plain" in errors[0].message
    assert [group.count for group in groups] == [2, 1]
    assert {letter.reason for letter in runs.dead_letters.find().letters} == {"rejected"}


def test_looking_changes_nothing(services: Services, runs: Runs) -> None:
    sent = [publish(services.broker_url, f"no.task.{number}") for number in range(3)]
    _letters(runs, 3)

    looks = [runs.dead_letters.find() for _ in range(25)]

    # More often than RabbitMQ 4 would deliver a message of any other quorum queue.
    assert {tuple(each.run_id for each in look.letters) for look in looks} == {tuple(sent)}


def test_letters_that_died_of_the_same_are_one_group(services: Services, runs: Runs) -> None:
    for _ in range(3):
        publish(services.broker_url, "no.such.task")
    publish(services.broker_url, "probe.reject")

    groups = _letters(runs, 4).groups

    assert [(group.task, group.count) for group in groups] == [
        ("no.such.task", 3), ("probe.reject", 1),
    ]  # fmt: skip
    assert runs.dead_letters.find(group=groups[0].group).letters[0].task == "no.such.task"


def test_replay_executes_the_run_and_removes_its_letter(
    services: Services, runs: Runs, tmp_path: Path, folder: Path
) -> None:
    rejected = publish(services.broker_url, "probe.reject_at_first", path=str(tmp_path / "path"))
    other = publish(services.broker_url, "no.such.task")
    found = _letters(runs, 2).letters
    assert runs.get(rejected).state == "DEAD"

    chosen = LetterSelection(ids=[each.id for each in found if each.run_id == rejected])
    *_, last = runs.dead_letters.replay(chosen)

    assert (last.total, last.done, last.finished, last.stopped) == (2, 1, True, None)
    assert eventually(lambda: runs.get(rejected).state == "SUCCESS", deadline_s=20)
    assert [each.run_id for each in _letters(runs, 1).letters] == [other]


def test_replay_of_what_dies_again_is_a_letter_again(services: Services, runs: Runs) -> None:
    run_id = publish(services.broker_url, "no.such.task")
    [before] = _letters(runs, 1).letters

    list(runs.dead_letters.replay(ALL))

    after = eventually(
        lambda: (found := runs.dead_letters.find().letters) and found[0].id != before.id and found,
        deadline_s=20,
    )
    assert [each.run_id for each in after] == [run_id]


def test_replay_keeps_its_rate(services: Services, runs: Runs) -> None:
    import time

    for _ in range(4):
        publish(services.broker_url, "no.such.task")
    _letters(runs, 4)

    started_s = time.monotonic()
    list(runs.dead_letters.replay(ALL, rate=4))

    assert time.monotonic() - started_s >= 0.7
    _letters(runs, 4)  # They die again, before another test begins.


def test_discard_removes_a_group_and_nothing_else(services: Services, runs: Runs) -> None:
    for task in ("no.task.a", "no.task.a", "no.task.b"):
        publish(services.broker_url, task)
    group = _letters(runs, 3).groups[0].group

    *_, last = runs.dead_letters.discard(LetterSelection(group=group))

    assert (last.done, last.finished) == (2, True)
    assert [each.task for each in _letters(runs, 1).letters] == ["no.task.b"]


def test_group_is_known_by_how_its_name_begins(services: Services, runs: Runs) -> None:
    publish(services.broker_url, "no.task.a")
    publish(services.broker_url, "no.task.b")
    group = _letters(runs, 2).groups[0]
    start = group.group[:8]

    [letter] = runs.dead_letters.find(group=start).letters
    *_, last = runs.dead_letters.discard(LetterSelection(group=start))

    assert (letter.task, last.done) == (group.task, 1)


def test_group_that_is_none_is_refused_by_name(services: Services, runs: Runs) -> None:
    publish(services.broker_url, "no.such.task")
    _letters(runs, 1)

    for refused in (
        lambda: runs.dead_letters.find(group="beef"),
        lambda: runs.dead_letters.replay(LetterSelection(group="beef")),
    ):
        with pytest.raises(InvalidInputError, match="begins with 'beef'"):
            refused()


def test_nothing_selected_is_refused(runs: Runs) -> None:
    with pytest.raises(InvalidInputError):
        runs.dead_letters.replay(LetterSelection())


def test_api_lists_replays_and_discards(services: Services, runs: Runs, api: FlaskClient) -> None:
    run_id = publish(services.broker_url, "no.such.task")
    _letters(runs, 1)

    listed: Any = api.get("/api/v1/dead-letters").get_json()
    assert (listed["total"], listed["letters"][0]["run_id"]) == (1, run_id)
    assert listed["groups"][0]["count"] == 1

    unsure = api.post("/api/v1/dead-letters/discard", json={"all": True})
    assert unsure.status_code == 422
    assert unsure.get_json()["errors"][0]["pointer"] == "/confirm"
    empty = api.post("/api/v1/dead-letters/replay", json={})
    assert (empty.status_code, empty.get_json()["errors"][0]["pointer"]) == (422, "/all")

    discarded = api.post("/api/v1/dead-letters/discard", json={"all": True, "confirm": "discard"})
    assert discarded.mimetype == "application/x-ndjson"
    assert '"finished":true' in discarded.text.splitlines()[-1]
    assert api.get("/api/v1/dead-letters").get_json()["total"] == 0
