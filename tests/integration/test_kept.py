"""Secrets and large values reach the task whole, and nothing that is kept for long."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
import redis

from celeriac.errors import InvalidInputError
from celeriac.events import STREAM
from celeriac.history import History
from celeriac.marks import BEGINS, CUT, REDACTED
from celeriac.recorder import Recorder
from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from services import Services
from worker_process import CHATTY_ENVIRONMENT, running_worker

MAX = 8_192
KEEP = timedelta(days=90)
MARK = {REDACTED: True}
SECRETS = ("sesame-1", "sesame-2", "sesame-3")
LOGIN: dict[str, Any] = {
    "user": "ann", "password": SECRETS[0], "pin": SECRETS[1],
    "profile": {"town": "Dhaka", "api_key": SECRETS[2]},
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("kept")
    more = {
        **CHATTY_ENVIRONMENT,
        "CELERIAC_TASKS": "kept_tasks",
        "CELERIAC_MAX_VALUE_BYTES": str(MAX),
    }
    settings = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        tasks="kept_tasks",
        max_value_bytes=MAX,
        data_dir=folder,
    )
    History(settings.history_address).migrate()
    with running_worker(folder, *services, more):
        yield Runs.of(settings)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give one kind of history: this is about what goes into any."""
    history = History(f"sqlite:///{tmp_path}/history.db")
    history.migrate()
    yield history
    history.close()


@pytest.fixture
def client(services: Services) -> Iterator[Any]:
    with redis.Redis.from_url(services.redis_url, decode_responses=True) as client:
        yield client


def _run(runs: Runs, task: str, **args: Any) -> Run:
    submitted = runs.submit(f"kept.{task}", args, SubmitOptions())
    return eventually(lambda: (run := runs.get(submitted.id)).state.finished and run, deadline_s=20)


def _events(client: Any, run_id: str) -> dict[str, str]:
    return {e["kind"]: e["data"] for _, e in client.xrange(STREAM) if e["run"] == run_id}


def test_secrets_reach_the_task_and_nothing_else(runs: Runs, client: Any) -> None:
    run = _run(runs, "login", **LOGIN)

    assert run.result == ["nna", *(secret[::-1] for secret in SECRETS)]
    assert run.args == {
        "user": "ann", "password": MARK, "pin": MARK,
        "profile": {"town": "Dhaka", "api_key": MARK},
    }  # fmt: skip
    record = str(client.hgetall(f"celeriac-run-{run.id}"))
    events = _events(client, run.id)
    assert {"submitted", "started", "succeeded"} <= events.keys()
    for kept in (record, *events.values()):
        assert not [secret for secret in SECRETS if secret in kept]


def test_run_with_a_secret_is_submitted_again_only_with_it(runs: Runs) -> None:
    earlier = _run(runs, "login", **LOGIN)

    with pytest.raises(InvalidInputError) as refusal:
        runs.resubmit(earlier.id)
    again = runs.resubmit(earlier.id, LOGIN)

    assert {problem.pointer for problem in refusal.value.problems} == {
        "/args/password", "/args/pin", "/args/profile/api_key",
    }  # fmt: skip
    assert eventually(lambda: (run := runs.get(again.id)).state.finished and run).result


def test_large_values_are_whole_in_the_live_result_and_cut_everywhere_else(
    runs: Runs, client: Any, services: Services, history: History
) -> None:
    text = "añ👩 " * 10_000

    run = _run(runs, "echo", text=text)

    mark = {CUT: {"size_bytes": len(text.encode()) + 2, "begins": f'"{text}'[:BEGINS]}}
    assert run.result == text
    assert run.args == {"text": mark}
    assert max(map(len, _events(client, run.id).values())) < 2 * MAX
    _record(services, history)
    assert (row := history.get(run.id)) and (row.args, row.result) == ({"text": mark}, mark)


def test_large_error_is_whole_in_the_live_result_and_cut_in_the_history(
    runs: Runs, services: Services, history: History
) -> None:
    text = "x" * 50_000

    run = _run(runs, "fail", text=text)

    assert run.state is RunState.FAILURE
    assert run.error and run.error.message == text
    _record(services, history)
    assert (row := history.get(run.id)) and row.error
    assert row.error.message.startswith("xxx")
    assert row.error.message.endswith("bytes are not kept⟩")
    assert row.error.traceback and row.error.traceback.startswith("Traceback")
    assert len(row.error.traceback) < MAX + 100


def _record(services: Services, history: History) -> None:
    recorder = Recorder(services.redis_url, history, keep=KEEP, name="kept")
    stop = Flag()
    thread = Thread(target=recorder.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: recorder.lag() == 0, deadline_s=20)
    finally:
        stop.set()
        thread.join(10)
