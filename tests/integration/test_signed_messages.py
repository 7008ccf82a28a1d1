"""With keys, workers execute signed messages alone, and sign what they publish themselves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord
from flask.testing import FlaskClient
from kombu import Connection

from celeriac.app import create_app
from celeriac.errors import InvalidInputError
from celeriac.runs import Letter, LetterSelection, Runs, SubmitOptions
from celeriac.settings import Settings, load_settings
from celeriac.signatures import HEADER, UNSIGNED, WRONG, Signatures, sign_messages
from celeriac.web import create_app as create_web
from eventually import eventually
from foreign_client import foreign_client, publish
from services import Services
from worker_process import running_worker

TESTS = str(Path(__file__).parents[1])
NEW, OLD = f"new:{'n' * 32}", f"old:{'o' * 32}"
KEYS = f"{NEW},{OLD}"
PROBES = {
    "CELERIAC_TASKS": "celeriac.tasks,probe_tasks",
    "PYTHONPATH": TESTS,
    "CELERIAC_MESSAGE_KEYS": KEYS,
}
ALL = LetterSelection(all=True)


@pytest.fixture(scope="module")
def folder(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("signed")
    with running_worker(folder, *services, PROBES):
        yield folder


@pytest.fixture
def settings(services: Services, folder: Path) -> Settings:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    tasks = "celeriac.tasks,probe_tasks"
    return load_settings(join_stack=False, message_keys=KEYS, tasks=tasks, **urls)


@pytest.fixture
def runs(settings: Settings) -> Iterator[Runs]:
    runs = Runs.of(settings)
    yield runs
    list(runs.dead_letters.discard(ALL))


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = create_app(settings)
    yield app
    app.close()


@pytest.fixture
def api(settings: Settings, runs: Runs) -> FlaskClient:
    return create_web(settings, runs).test_client()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note"


def _letter(runs: Runs) -> Letter:
    return eventually(
        lambda: (found := runs.dead_letters.find()).total == 1 and found, deadline_s=30
    ).letters[0]


def _ends(runs: Runs, run_id: str) -> str:
    def end() -> str | None:
        run = runs.get(run_id)
        return run.state if run.state.finished else None

    return str(eventually(end, deadline_s=30))


def _count(note: Path) -> int:
    return len(note.read_text().splitlines()) if note.exists() else 0


def _captured(services: Services, run_id: str, note: Path) -> tuple[Any, dict[str, Any]]:
    """Give body and headers of a message that somebody signed, as whoever reads the broker does."""
    headers = {"task": "probe.note", "id": run_id, "root_id": run_id, "lang": "py", "retries": 0}
    body = json.dumps([[], {"path": str(note)}, {}]).encode()
    kind = {"content_type": "application/json", "content_encoding": "utf-8"}
    return body, Signatures.of(NEW).signed(headers, kind, body)


def _send(services: Services, body: bytes, headers: dict[str, Any], **options: Any) -> None:
    with Connection(services.broker_url) as connection, connection.Producer() as producer:
        producer.publish(
            body, headers=headers, exchange="", routing_key="celery_see", delivery_mode=2,
            content_type="application/json", content_encoding="utf-8", **options,
        )  # fmt: skip


def _push(services: Services, body: Any, headers: dict[str, Any]) -> None:
    """Put a message into the queue as whoever may write to Redis does, with any JSON as a body."""
    place = {"exchange": "", "routing_key": "celery_see"}
    about = {"delivery_tag": "any", "delivery_info": place, "correlation_id": "", "priority": 0}
    kind = {"content-type": "application/json", "content-encoding": "utf-8"}
    message = {**kind, "body": body, "headers": headers, "properties": about}
    with redis.Redis.from_url(services.broker_url) as client:
        client.lpush("celery_see", json.dumps(message))


def test_what_the_web_submits_is_executed(runs: Runs, note: Path) -> None:
    now = runs.submit("probe.note", {"path": str(note)}, SubmitOptions())
    later = runs.submit("probe.note", {"path": str(note)}, SubmitOptions(countdown=1))

    assert (_ends(runs, now.id), _ends(runs, later.id)) == ("SUCCESS", "SUCCESS")


def test_batch_is_executed(api: FlaskClient, runs: Runs, note: Path) -> None:
    line = json.dumps({"task": "probe.note", "args": {"path": str(note)}})

    answer = api.post(
        "/api/v1/runs/batch", data=f"{line}\n{line}\n", content_type="application/x-ndjson"
    )

    ids = [json.loads(each)["id"] for each in answer.text.splitlines()]
    assert [_ends(runs, each) for each in ids] == ["SUCCESS", "SUCCESS"]


def test_retries_are_signed(runs: Runs, note: Path) -> None:
    args = {"path": str(note), "times": 2, "countdown": 1.2}

    run = runs.submit("probe.retry", args, SubmitOptions())

    assert (_ends(runs, run.id), _count(note)) == ("SUCCESS", 3)


def test_chains_and_chords_are_signed(app: Celery, runs: Runs, note: Path) -> None:
    one = app.signature("probe.note", kwargs={"path": str(note)}, immutable=True)
    last = chord([one.clone(), one.clone()], one.clone(), app=app)

    sent = chain(one.clone(), one.clone(), last, app=app).apply_async()

    assert (_ends(runs, sent.id), _count(note)) == ("SUCCESS", 5)


def test_errbacks_and_callbacks_are_signed(app: Celery, runs: Runs, note: Path) -> None:
    follow = app.signature("probe.note", kwargs={"path": str(note)}, immutable=True)

    app.send_task("text.reverse", ["ab"], link=follow)
    app.send_task("text.reverse", [7], link_error=follow)

    assert eventually(lambda: _count(note) == 2, deadline_s=30)


def test_run_that_lost_its_child_is_executed_again(runs: Runs, note: Path) -> None:
    run = runs.submit("probe.kill_child_once", {"path": str(note)}, SubmitOptions())

    assert (_ends(runs, run.id), _count(note)) == ("SUCCESS", 2)


def test_replayed_letter_is_signed(runs: Runs, note: Path) -> None:
    run = runs.submit("probe.reject_at_first", {"path": str(note)}, SubmitOptions())
    letter = _letter(runs)

    *_, last = runs.dead_letters.replay(ALL)

    assert (letter.unsigned, last.done, last.unsigned) == (False, 1, 0)
    assert _ends(runs, run.id) == "SUCCESS"


def test_unsigned_message_is_a_dead_letter_and_tells_why(
    services: Services, runs: Runs, note: Path
) -> None:
    run_id = publish(services.broker_url, "probe.note", path=str(note))

    letter = _letter(runs)

    assert letter.error and (letter.error.type, letter.error.message) == ("UnsignedError", UNSIGNED)
    assert (letter.run_id, letter.task, letter.unsigned) == (run_id, "probe.note", True)
    assert letter.reason == "rejected"
    assert _count(note) == 0


def test_unsigned_message_changes_nothing_of_the_run_that_it_names(
    services: Services, runs: Runs, note: Path
) -> None:
    run = runs.submit("probe.note", {"path": str(note)}, SubmitOptions(countdown=3))
    publish(services.broker_url, "probe.note", run_id=run.id, path=str(note))
    _letter(runs)
    runs.dead_letters.tell()

    assert not runs.get(run.id).state.finished
    assert (_ends(runs, run.id), _count(note)) == ("SUCCESS", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "probe.kill_worker"},
        {"id": "another"},
        {"retries": 3},
        {"eta": "2020-01-01T00:00:00+00:00"},
        {"chain": [{"task": "probe.note", "args": ["never"]}]},
        {"errbacks": [{"task": "probe.note", "args": ["never"]}]},
        {HEADER: "v1:new:" + "0" * 64},
    ],
)
def test_changed_message_is_a_dead_letter(
    services: Services, runs: Runs, note: Path, change: dict[str, Any]
) -> None:
    body, headers = _captured(services, "captured", note)

    _send(services, body, {**headers, **change})

    letter = _letter(runs)
    assert letter.error and letter.error.message == WRONG
    assert _count(note) == 0


@pytest.mark.parametrize("written", ["-1", "null", "4611686018427387904", '{"a": 1}', "[1]"])
def test_worker_outlives_a_body_of_any_kind(
    services: Services, runs: Runs, note: Path, written: str
) -> None:
    _, headers = _captured(services, "captured", note)
    if services.broker_url.startswith("redis"):
        _push(services, json.loads(written), headers)
    else:
        _send(services, written.encode(), headers)

    letter = _letter(runs)
    run = runs.submit("probe.note", {"path": str(note)}, SubmitOptions())

    assert letter.error and letter.error.type == "UnsignedError"
    assert (_ends(runs, run.id), _count(note)) == ("SUCCESS", 1)


def test_what_cannot_be_decompressed_makes_the_worker_publish_nothing(
    services: Services, runs: Runs, note: Path
) -> None:
    follow = {"task": "probe.note", "args": [], "kwargs": {"path": str(note)}, "options": {}}
    headers = {"task": "probe.note", "id": "broken", "compression": "zlib", "errbacks": [follow]}

    _send(services, b"no zlib", headers)

    letter = _letter(runs)
    assert letter.error and letter.error.message == UNSIGNED
    assert _count(note) == 0


def test_client_that_signs_with_an_older_key_is_accepted(
    services: Services, runs: Runs, note: Path
) -> None:
    client = foreign_client(services.broker_url)
    sign_messages(client, OLD)

    sent = client.send_task("probe.note", kwargs={"path": str(note)}, compression="zlib")

    assert eventually(lambda: _count(note) == 1, deadline_s=30)
    assert _ends(runs, str(sent.id)) == "SUCCESS"


def test_client_with_an_unknown_key_is_told_apart(
    services: Services, runs: Runs, note: Path
) -> None:
    client = foreign_client(services.broker_url)
    sign_messages(client, f"theirs:{'t' * 32}")

    client.send_task("probe.note", kwargs={"path": str(note)})

    letter = _letter(runs)
    assert letter.error and "signed with the key 'theirs'" in letter.error.message


def test_replay_of_an_unsigned_letter_is_refused_and_signing_it_executes_it(
    services: Services, runs: Runs, api: FlaskClient, note: Path
) -> None:
    run_id = publish(services.broker_url, "probe.note", path=str(note))
    letter = _letter(runs)

    refused = api.post("/api/v1/dead-letters/replay", json={"all": True}).text.splitlines()[-1]
    page = api.get("/dead-letters").text
    all_of_them = api.post("/api/v1/dead-letters/sign", json={"all": True})

    assert json.loads(refused) | {"done": 0, "unsigned": 1} == json.loads(refused)
    assert "Sign and replay" in page and UNSIGNED[:30] in page
    assert (all_of_them.status_code, _count(note)) == (422, 0)
    assert runs.dead_letters.find().total == 1

    signed = api.post("/api/v1/dead-letters/sign", json={"ids": [letter.id]}).text.splitlines()[-1]

    assert json.loads(signed)["done"] == 1
    assert eventually(lambda: _count(note) == 1, deadline_s=30)
    assert _ends(runs, run_id) == "SUCCESS"


def test_letter_that_somebody_put_there_tells_nothing_of_a_run(
    services: Services, runs: Runs, note: Path
) -> None:
    run = runs.submit("probe.note", {"path": str(note)}, SubmitOptions(countdown=3))
    publish(services.broker_url, "probe.note", run_id=run.id, queue="celery_see.dead")

    eventually(lambda: runs.dead_letters.find().total == 1, deadline_s=30)
    told = runs.dead_letters.tell()

    assert (told, _letter(runs).unsigned) == (0, True)
    assert _ends(runs, run.id) == "SUCCESS"


def test_signing_where_nothing_is_signed_says_so(services: Services, folder: Path) -> None:
    urls = {"broker_url": services.broker_url, "redis_url": services.redis_url}
    plain = Runs.of(load_settings(join_stack=False, **urls))

    with pytest.raises(InvalidInputError, match="CELERIAC_MESSAGE_KEYS is not set"):
        plain.dead_letters.sign(LetterSelection(ids=["x"]))
