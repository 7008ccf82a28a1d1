"""`email.send` against a real SMTP server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from celeriac.tasks.email import MailRefusedError, send
from eventually import eventually
from mail_server import SmtpServer, smtp_server
from services import Services
from worker_process import running_worker

MAIL: dict[str, Any] = {
    "to": ["ann@example.com", "bob@example.com"],
    "subject": "Grüße",
    "body": "Hello\n\n…and bye.",
}


@pytest.fixture(scope="module")
def server() -> Iterator[SmtpServer]:
    with smtp_server(user="mailer@x", password="p@ss/word") as server:
        yield server


@pytest.fixture(scope="module")
def runs(
    valkey_server: Any, server: SmtpServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    valkey_server.flush()
    services = Services(valkey_server.url, valkey_server.url)
    mail = {"CELERIAC_SMTP_URL": server.url, "CELERIAC_SMTP_FROM": "us@example.com"}
    with running_worker(tmp_path_factory.mktemp("worker"), *services, more=mail):
        yield Runs.of(
            load_settings(
                join_stack=False, broker_url=services.broker_url, redis_url=services.redis_url
            )
        )


@pytest.fixture(autouse=True)
def _accepting(server: SmtpServer) -> None:
    server.accept()
    server.received.clear()


def _sent(runs: Runs) -> Run:
    return runs.wait(runs.submit("email.send", MAIL, SubmitOptions()).id, 30)


def test_mail_arrives_as_it_was_written(runs: Runs, server: SmtpServer) -> None:
    run = _sent(runs)

    assert run.state is RunState.SUCCESS, run.error
    (received,) = server.received
    assert received.sender == "us@example.com"
    assert received.recipients == ("ann@example.com", "bob@example.com")
    assert received.message["Subject"] == "Grüße"
    assert received.message.get_content().split() == MAIL["body"].split()
    assert isinstance(run.result, dict)
    assert run.result["message_id"] == received.message["Message-ID"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [("DATA", "554 5.7.1 Spam is not welcome"), ("RCPT", "550 5.1.1 No such user")],
)
def test_permanent_failure_fails_at_once_with_the_servers_words(
    runs: Runs, server: SmtpServer, command: Any, answer: str
) -> None:
    server.answers[command] = answer

    run = _sent(runs)

    assert (run.state, run.attempts) == (RunState.FAILURE, 1)
    assert run.error is not None and run.error.type == "MailRefusedError"
    assert answer[4:] in run.error.message


def test_temporary_failure_is_tried_again(runs: Runs, server: SmtpServer) -> None:
    server.answers["DATA"] = "451 4.3.0 Busy, come back"
    run_id = runs.submit("email.send", MAIL, SubmitOptions()).id
    waiting = eventually(
        lambda: (run := runs.get(run_id)).state is RunState.RETRY and run, deadline_s=20
    )

    server.accept()

    assert waiting.error is not None and "Busy, come back" in waiting.error.message
    run = runs.wait(run_id, 60)
    assert run.state is RunState.SUCCESS
    assert run.attempts >= 2
    assert len(server.received) == 1


def test_wrong_password_shows_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp_server(user="mailer", password="right") as strict:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CELERIAC_SMTP_URL", strict.url.replace("right", "wr0ng"))
        with pytest.raises(MailRefusedError) as caught:
            send.run(**MAIL)

    assert "wr0ng" not in str(caught.value)
    assert "535" in str(caught.value)
