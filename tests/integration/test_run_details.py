"""Lines, attempts and relatives of real runs: by HTTP, and `celeriac run tail`."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from flask.testing import FlaskClient

import servers
from celeriac.events import STREAM
from celeriac.history import History
from celeriac.runs import Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from celeriac.web import create_app
from eventually import eventually
from processes import ChildProcess
from servers import RedisServer
from services import Services
from worker_process import CHATTY_ENVIRONMENT, celeriac_environment, running_worker


class Stage(NamedTuple):
    """A worker that runs the chatty tasks, and whoever asks about its runs."""

    folder: Path
    environment: dict[str, str]
    runs: Runs
    client: FlaskClient

    def submit(self, task: str, **args: Any) -> str:
        return self.runs.submit(f"chatty.{task}", args, SubmitOptions()).id

    def run(self, task: str, **args: Any) -> str:
        run_id = self.submit(task, **args)
        assert self.runs.wait(run_id, 30).state.finished
        return run_id

    def get(self, run_id: str, path: str, **query: Any) -> Any:
        answer = self.client.get(f"/api/v1/runs/{run_id}/{path}", query_string=query)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def texts(self, run_id: str) -> list[str]:
        return [line["text"] for line in self.get(run_id, "logs")["lines"]]

    def command(self, *arguments: str) -> ChildProcess:
        log_path = self.folder / f"{arguments[0]}-{arguments[-1]}.log"
        command = [sys.executable, "-m", "celeriac", *arguments]
        return ChildProcess(command, log_path, self.environment, self.folder)

    @contextmanager
    def recording(self) -> Iterator[None]:
        recorder = self.command("recorder")
        recorder.start()
        try:
            yield
        finally:
            recorder.stop()


@contextmanager
def _stage(folder: Path, services: Services) -> Iterator[Stage]:
    settings = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        tasks="chatty_tasks",
        data_dir=folder / ".celeriac",
    )
    History(settings.history_address).migrate()
    runs = Runs.of(settings)
    environment = celeriac_environment(folder, *services) | CHATTY_ENVIRONMENT
    with running_worker(folder, *services, CHATTY_ENVIRONMENT):
        yield Stage(folder, environment, runs, create_app(settings, runs).test_client())


@pytest.fixture(scope="module")
def stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with _stage(tmp_path_factory.mktemp("details"), services) as stage, stage.recording():
        yield stage


def test_lines_of_a_finished_run_are_paged(stage: Stage) -> None:
    run_id = stage.run("many", lines=5)

    first = stage.get(run_id, "logs", limit=3)
    second = stage.get(run_id, "logs", limit=3, after=first["next"])

    assert [line["text"] for line in first["lines"]] == ["line 0", "line 1", "line 2"]
    assert [line["text"] for line in second["lines"]] == ["line 3", "line 4"]
    assert second["next"] is None
    assert {line["level"] for line in first["lines"]} == {"INFO"}
    assert {line["attempt"] for line in first["lines"]} == {1}


def test_lines_of_a_run_that_goes_on_are_seen_and_have_a_next(stage: Stage, tmp_path: Path) -> None:
    run_id = stage.submit("until", path=str(tmp_path / "go"))

    page = eventually(
        lambda: (found := stage.get(run_id, "logs"))["lines"] and found, deadline_s=20
    )
    assert page["next"] == page["lines"][-1]["id"]
    (tmp_path / "go").touch()
    stage.runs.wait(run_id, 20)

    rest = stage.get(run_id, "logs", after=page["next"])
    assert [line["text"] for line in rest["lines"]] == ["found it"]


def test_lines_stay_when_redis_has_forgotten_the_run(stage: Stage, services: Services) -> None:
    run_id = stage.run("many", lines=3)
    eventually(lambda: len(stage.runs.history.logs(run_id)) == 3, deadline_s=20)
    with redis.Redis.from_url(services.redis_url) as client:
        client.delete(f"celeriac-run-{run_id}", f"celery-task-meta-{run_id}", STREAM)

    assert stage.texts(run_id) == ["line 0", "line 1", "line 2"]


def test_page_of_a_run_that_logged_very_much_shows_its_beginning(stage: Stage) -> None:
    run_id = stage.run("many", lines=100, text="y" * 7000)

    page = stage.client.get(f"/runs/{run_id}").text
    file = stage.client.get(f"/runs/{run_id}/log.txt").text

    assert page.count('class="log-line"') == 71
    assert "These are the first 71 lines" in page
    assert file.count("\n") == 100


def test_page_of_a_run_says_that_the_history_is_away(
    stage: Stage, services: Services, tmp_path: Path
) -> None:
    run_id = stage.run("retried")
    (tmp_path / "file").touch()
    settings = load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        tasks="chatty_tasks",
        history_url=f"sqlite:///{tmp_path}/file/history.db",  # No folder can be made there.
    )
    client = create_app(settings, Runs.of(settings)).test_client()

    page = client.get(f"/runs/{run_id}")

    assert page.status_code == 200
    assert "The history cannot be read for now" in page.text
    assert "Attempt 2" in page.text
    assert client.get(f"/api/v1/runs/{run_id}/logs").status_code == 503


def test_lines_of_an_unknown_run_are_not_found(stage: Stage) -> None:
    assert stage.client.get("/api/v1/runs/nothing/logs").status_code == 404


def test_lines_after_nonsense_are_refused(stage: Stage) -> None:
    run_id = stage.run("many", lines=1)

    answer = stage.client.get(f"/api/v1/runs/{run_id}/logs?after=yesterday")

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == "/after"


def test_attempts_tell_how_each_went(stage: Stage) -> None:
    run_id = stage.run("retried")

    def ended() -> list[dict[str, Any]] | None:
        """Give the attempts once the history, which is a little behind, has the end."""
        found = stage.get(run_id, "attempts")["attempts"]
        return found if [each["state"] for each in found] == ["RETRY", "SUCCESS"] else None

    attempts = eventually(ended, deadline_s=20)
    assert [each["number"] for each in attempts] == [1, 2]
    assert attempts[0]["error"] == {"type": "ValueError", "message": "not yet", "traceback": None}
    assert "@" in attempts[0]["worker"]
    instants = [each[name] for each in attempts for name in ("started_at", "finished_at")]
    assert instants == sorted(instants)


def test_run_that_is_tried_again_is_no_child_of_its_own(stage: Stage) -> None:
    run_id = stage.run("retried")
    eventually(lambda: len(stage.get(run_id, "attempts")["attempts"]) == 2, deadline_s=20)

    relatives = stage.get(run_id, "lineage")

    assert (relatives["parent"], relatives["children"]) == (None, [])


def test_relatives_are_found_page_by_page(stage: Stage) -> None:
    run_id = stage.run("family", children=3)
    again = stage.runs.resubmit(run_id).id

    eventually(lambda: len(stage.get(run_id, "lineage")["children"]) == 3, deadline_s=20)
    first = stage.get(run_id, "lineage", limit=2)
    second = stage.get(run_id, "lineage", limit=2, cursor=first["next_cursor"])
    children = [child["id"] for child in first["children"] + second["children"]]
    of_child = stage.get(children[0], "lineage")

    assert len(set(children)) == 3 and second["next_cursor"] is None
    assert (of_child["parent"]["id"], of_child["parent"]["state"]) == (run_id, "SUCCESS")
    assert of_child["root"]["id"] == run_id
    assert eventually(lambda: stage.get(run_id, "lineage")["resubmissions"])[0]["id"] == again
    assert stage.get(again, "lineage")["resubmit_of"]["task"] == "chatty.family"


def test_root_knows_the_next_steps_of_its_chain_and_leads_to_its_family(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    run_id = stage.run("chained", path=str(tmp_path / "go"))

    # Who started a run is known when it has started itself.
    eventually(
        lambda: _family_tasks(stage, run_id) == (["chatty.until"], ["chatty.many"]), deadline_s=20
    )
    page = stage.client.get(f"/runs/{run_id}", headers={"Accept": "text/html"}).text
    assert f'href="/runs?root={run_id}"' in page


def _family_tasks(stage: Stage, run_id: str) -> tuple[list[str], list[str]]:
    relatives = stage.get(run_id, "lineage")
    children, others = (
        [each["task"] for each in relatives[n]] for n in ("children", "descendants")
    )
    return children, others


def test_callback_of_a_chord_that_failed_tells_what_it_is(stage: Stage) -> None:
    root_id = stage.run("chorded")
    callback_id = stage.runs.get(root_id).result
    assert isinstance(callback_id, str)

    run = eventually(lambda: stage.runs.get(callback_id), deadline_s=20)

    assert (run.state, run.task, run.root_id) == (RunState.FAILURE, "chatty.many", root_id)
    assert run.args == {"lines": 1, "text": "callback"}


def test_tail_prints_lines_and_states_until_the_end(stage: Stage, tmp_path: Path) -> None:
    run_id = stage.submit("until", path=str(tmp_path / "go"))
    tail = stage.command("run", "tail", run_id)
    tail.start()
    eventually(lambda: "waiting for go" in tail.log_path.read_text(), deadline_s=30)
    assert tail.is_running
    (tmp_path / "go").touch()

    assert eventually(lambda: not tail.is_running, deadline_s=20)
    text = tail.log_path.read_text()
    assert tail.stop() == 0
    assert text.index("STARTED") < text.index("INFO     waiting for go") < text.index("found it")
    assert text.rstrip().endswith("✔ SUCCESS")


def test_tail_of_a_failed_run_exits_with_1(stage: Stage) -> None:
    run_id = stage.run("failing")
    tail = stage.command("run", "tail", run_id)
    tail.start()

    eventually(lambda: not tail.is_running, deadline_s=30)

    assert tail.stop() == 1
    assert "✖ FAILURE ValueError: no luck" in tail.log_path.read_text()


def test_tail_prints_ndjson(stage: Stage) -> None:
    run_id = stage.run("many", lines=2)
    tail = stage.command("run", "tail", "--json", run_id)
    tail.start()
    eventually(lambda: not tail.is_running, deadline_s=30)

    found = [json.loads(line) for line in tail.log_path.read_text().splitlines()]

    assert [each["kind"] for each in found] == ["run", "log", "log", "run"]
    assert found[2]["text"] == "line 1"


def test_tail_is_interrupted_without_a_word(stage: Stage, tmp_path: Path) -> None:
    run_id = stage.submit("until", path=str(tmp_path / "go"))
    tail = stage.command("run", "tail", run_id)
    tail.start()
    eventually(lambda: "waiting" in tail.log_path.read_text(), deadline_s=30)

    os.kill(tail.pid, signal.SIGINT)
    eventually(lambda: not tail.is_running, deadline_s=20)
    (tmp_path / "go").touch()

    assert tail.stop() == 130
    assert "Traceback" not in tail.log_path.read_text()
    assert "Abort" not in tail.log_path.read_text()


def test_tail_survives_a_restart_of_redis(tmp_path: Path) -> None:
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("redis", "broker", "stage")]
        for folder in folders:
            folder.mkdir()
        results: RedisServer = stack.enter_context(servers.redis_server(folders[0]))
        broker = stack.enter_context(servers.redis_server(folders[1]))
        stage = stack.enter_context(_stage(folders[2], Services(broker.url, results.url)))
        run_id = stage.submit("until", path=str(tmp_path / "go"))
        tail = stage.command("run", "tail", run_id)
        tail.start()
        eventually(lambda: "waiting" in tail.log_path.read_text(), deadline_s=30)

        results.stop()
        results.start()
        (tmp_path / "go").touch()

        assert eventually(lambda: not tail.is_running, deadline_s=40)
        assert tail.stop() == 0
        assert "found it" in tail.log_path.read_text()
