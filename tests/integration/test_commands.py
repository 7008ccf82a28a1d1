"""The commands `celeriac` and `celery -A celeriac`, as processes."""

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port
from services import Services
from worker_process import celeriac_environment, running_worker

pytestmark = pytest.mark.timeout(400)
Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def environment(folder: Path, services: Services) -> dict[str, str]:
    return celeriac_environment(folder, *services)


@pytest.fixture(scope="module", autouse=True)
def _worker(folder: Path, services: Services) -> Iterator[None]:
    with running_worker(folder, *services):
        yield


@pytest.fixture(scope="module")
def command(folder: Path, environment: dict[str, str]) -> Command:
    def call(module: str, *arguments: str, **variables: str) -> CompletedProcess[str]:
        return run(
            [sys.executable, "-m", module, *arguments],
            env={**environment, "COLUMNS": "200", **variables},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return call


def test_submit_waits_and_prints_the_result(command: Command) -> None:
    done = command("celeriac", "submit", "text.reverse", "--text", "añb", "--wait")

    assert (done.returncode, done.stdout) == (0, "bña\n"), done.stderr


def test_submit_prints_the_identifier_that_show_takes(command: Command) -> None:
    run_id = command("celeriac", "submit", "primes.count", "--limit", "100").stdout.strip()

    shown = eventually(
        lambda: (
            (found := command("celeriac", "run", "show", run_id, "--json").stdout)
            and "SUCCESS" in found
            and found
        ),
        deadline_s=20,
    )
    assert json.loads(shown)["result"] == 25
    assert "25" in command("celeriac", "run", "show", run_id).stdout


def test_submit_of_a_failing_run_exits_with_1(command: Command) -> None:
    done = command(
        "celeriac", "submit", "email.send", "--to", "a@example.com", "--to", "b@example.com",
        "--subject", "Hi", "--body", "Hello", "--wait",
    )  # fmt: skip

    assert done.returncode == 1
    assert "CELERIAC_SMTP_URL" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.such"], "There is no task named 'no.such'"),
        (["text.revers", "--text", "a"], "Did you mean text.reverse?"),
        (["primes.count", "--limit", "-5"], "/args/limit: Input should be greater"),
        (["primes.count", "--limit", "many"], "--limit"),
        (["text.reverse"], "--text"),
        (["text.reverse", "--text", "a", "--countdown", "-1"], "/options/countdown"),
        (["text.reverse", "--text", "a", "--queue", "nobody"], "/options/queue"),
    ],
)
def test_wrong_submission_exits_with_2_and_says_why(
    command: Command, words: list[str], message: str
) -> None:
    done = command("celeriac", "submit", *words)

    assert done.returncode == 2
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_submit_help_shows_the_tasks_own_options(command: Command) -> None:
    shown = command("celeriac", "submit", "text.reverse", "--help").stdout

    assert "--text" in shown and "The text to reverse." in shown and "--countdown" in shown


def test_unknown_run_exits_with_1(command: Command) -> None:
    done = command("celeriac", "run", "show", "nothing")

    assert done.returncode == 1
    assert "There is no run 'nothing'" in done.stderr


def test_tasks_lists_the_catalog(command: Command) -> None:
    listed = json.loads(command("celeriac", "tasks", "--json").stdout)

    assert "text.reverse" in [task["name"] for task in listed]
    assert "text.reverse" in command("celeriac", "tasks").stdout


def test_doctor_checks_each_dependency(command: Command) -> None:
    done = command("celeriac", "doctor")

    assert done.returncode == 0, done.stdout
    for subject in ("settings", "tasks", "broker", "redis", "workers", "web", "flower", "mail"):
        assert subject in done.stdout


def test_health_tells_that_a_worker_does_its_work(command: Command) -> None:
    eventually(
        lambda: command("celeriac", "health", "worker").stdout == "The worker is well.\n",
        deadline_s=30,
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["worker", "--name", "nobody"], "has not told of itself yet"),
        (["recorder"], "No recorder runs"),
        (["web"], "Nothing answers on port"),
        (["flower"], "Nothing answers on port"),
    ],
)
def test_health_of_what_does_not_run_exits_with_1(
    command: Command, words: list[str], problem: str
) -> None:
    ports = {"CELERIAC_PORT": str(free_port()), "CELERIAC_FLOWER_PORT": str(free_port())}

    done = command("celeriac", "health", *words, **ports)

    assert (done.returncode, problem in done.stdout) == (1, True), done.stdout + done.stderr


def test_tasks_shows_an_authors_brackets_as_they_are(command: Command, folder: Path) -> None:
    (folder / "odd_tasks.py").write_text(
        "from celery import shared_task\n\n"
        "@shared_task(name='odd[/x]', queue='celery_see')\n"
        "def odd(text: str = '[/x]', **more: int) -> None:\n"
        '    """Do it, or [/x] not."""\n'
    )

    listed = command("celeriac", "tasks", CELERIAC_TASKS="odd_tasks")
    helped = command("celeriac", "submit", "odd[/x]", "--help", CELERIAC_TASKS="odd_tasks")

    assert "odd[/x]" in listed.stdout and "Do it, or [/x] not." in listed.stdout, listed.stderr
    assert "Do it, or [/x] not." in helped.stdout and "--more" in helped.stdout, helped.stderr


def test_doctor_shows_a_problems_brackets_as_they_are(command: Command) -> None:
    done = command("celeriac", "doctor", CELERIAC_TASKS="no[/x]where")

    assert done.returncode == 1, done.stderr
    assert "'no[/x]where' cannot be imported" in done.stdout


def test_doctor_warns_of_what_the_celery_command_obeys(
    command: Command, environment: dict[str, str]
) -> None:
    done = command(
        "celeriac", "doctor", APP="other", CELERY_BROKER_URL=environment["CELERIAC_BROKER_URL"]
    )

    assert done.returncode == 0, done.stdout
    for name in ("APP", "CELERY_BROKER_URL"):
        assert f"{name} is set: `celeriac worker` and `celeriac flower` ignore it" in done.stdout


def test_options_win_over_variables(command: Command) -> None:
    """The variable alone is in the tests of a wrong configuration below."""
    done = command("celeriac", "tasks", "-A", "also.none", CELERIAC_APP="json:app")

    assert done.returncode == 2
    assert "also.none" in done.stderr


def test_celery_inspect_ping_finds_the_worker(command: Command) -> None:
    done = command("celery", "-A", "celeriac", "inspect", "ping")

    assert done.returncode == 0, done.stderr
    assert "worker1@" in done.stdout and "pong" in done.stdout


def test_celery_report_shows_our_configuration_without_passwords(
    command: Command,
) -> None:
    done = command("celery", "-A", "celeriac", "report")

    assert "timezone: 'Asia/Dhaka'" in done.stdout
    assert "task_default_queue: 'celery_see'" in done.stdout
    assert "guest:guest" not in done.stdout


def test_celery_worker_works_as_any_celery_user_expects(
    folder: Path, environment: dict[str, str], command: Command
) -> None:
    worker = ChildProcess(
        command=[
            *(sys.executable, "-m", "celery", "-A", "celeriac", "worker"),
            *("-n", "stock@%h", "--pool", "solo", "--loglevel", "info"),
        ],
        log_path=folder / "stock.log",
        env=environment,
        cwd=folder,
    )
    worker.start()
    try:
        eventually(
            lambda: "stock@" in command("celery", "-A", "celeriac", "inspect", "ping").stdout,
            deadline_s=30,
        )
    finally:
        worker.stop()


@pytest.mark.parametrize("way", ["celeriac", "celery"])
def test_flower_lists_the_worker(folder: Path, environment: dict[str, str], way: str) -> None:
    port = str(free_port())
    words = {
        "celeriac": ["celeriac", "flower", "--flower-port", port],
        "celery": ["celery", "-A", "celeriac", "flower", f"--port={port}", "--address=127.0.0.1"],
    }
    prefix = {"celeriac": "/flower", "celery": ""}
    flower = ChildProcess(
        command=[sys.executable, "-m", *words[way]],
        log_path=folder / f"flower-{way}.log",
        env=environment,
        cwd=folder,
    )
    flower.start()
    try:
        page = eventually(
            lambda: (
                (found := _page(f"http://{LOOPBACK}:{port}{prefix[way]}/workers"))
                and "worker1@" in found
                and found
            ),
            deadline_s=30,
        )
        assert "worker1@" in page
    finally:
        assert flower.stop() == 0


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CELERIAC_BROKER_URL": "ftp://host"}, "CELERIAC_BROKER_URL"),
        ({"CELERIAC_CONCURRENCY": "many"}, "CELERIAC_CONCURRENCY"),
        ({"CELERIAC_TASKS": "no.such.module"}, "'no.such.module' cannot be imported"),
        ({"CELERIAC_APP": "json:app"}, "CELERIAC_APP=json:app"),
    ],
)
@pytest.mark.parametrize(
    "words",
    [["celeriac", "worker"], ["celeriac", "tasks"], ["celery", "-A", "celeriac", "report"]],
)
def test_wrong_configuration_is_one_line_and_exit_code_2(
    command: Command, variables: dict[str, str], message: str, words: list[str]
) -> None:
    done = command(*words, **variables)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
