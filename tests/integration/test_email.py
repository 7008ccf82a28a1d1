"""`email.send` against a real SMTP server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.errors import ConfigurationError
from celeriac.runs import Run, Runs, RunState, SubmitOptions
from celeriac.settings import load_settings
from celeriac.tasks.email import MailDeferredError, MailRefusedError, SentMail, send
from eventually import eventually
from mail_server import Certificate, Scheme, SmtpServer, self_signed, smtp_server
from processes import LOOPBACK, free_port
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
    mail = {"CELERIAC_SMTP_URL": server.url, "CELERIAC_SMTP_FROM": "Us <us@example.com>"}
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
    server.offered.clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def _sent(runs: Runs) -> Run:
    return runs.wait(runs.submit("email.send", MAIL, SubmitOptions()).id, 30)


def test_mail_arrives_as_it_was_written(runs: Runs, server: SmtpServer) -> None:
    run = _sent(runs)

    assert run.state is RunState.SUCCESS, run.error
    (received,) = server.received
    assert received.sender == "us@example.com"
    assert received.message["From"] == "Us <us@example.com>"
    assert received.recipients == ("ann@example.com", "bob@example.com")
    assert received.message["Subject"] == "Grüße"
    assert received.message.get_content().split() == MAIL["body"].split()
    assert isinstance(run.result, dict)
    assert run.result["message_id"] == received.message["Message-ID"]
    assert run.result["refused"] == {}


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
    assert len(server.offered) >= 2
    assert set(server.offered) == {f"<{run_id}@example.com>"}


@pytest.mark.parametrize("answer", ["450 4.2.1 Mailbox is busy", "550 5.1.1 No such user"])
def test_partial_refusal_sends_once_and_lists_who_was_refused(
    runs: Runs, server: SmtpServer, answer: str
) -> None:
    server.refuses["bob@example.com"] = answer

    run = _sent(runs)

    assert (run.state, run.attempts) == (RunState.SUCCESS, 1), run.error
    assert isinstance(run.result, dict)
    assert run.result["to"] == ["ann@example.com"]
    assert run.result["refused"] == {"bob@example.com": answer}
    assert [received.recipients for received in server.received] == [("ann@example.com",)]


def test_refusal_of_all_is_tried_again_while_one_of_them_may_still_get_it(
    runs: Runs, server: SmtpServer
) -> None:
    server.refuses |= {"ann@example.com": "550 5.1.1 No such user", "bob@example.com": "450 Busy"}
    run_id = runs.submit("email.send", MAIL, SubmitOptions()).id
    eventually(lambda: runs.get(run_id).state is RunState.RETRY, deadline_s=20)

    del server.refuses["bob@example.com"]

    run = runs.wait(run_id, 60)
    assert run.state is RunState.SUCCESS, run.error
    assert isinstance(run.result, dict)
    assert run.result["to"] == ["bob@example.com"]
    assert run.result["refused"] == {"ann@example.com": "550 5.1.1 No such user"}


Sender = Callable[..., SentMail]


@pytest.fixture
def send_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sender:
    """Give a call of the task as a plain function, by the server at an address."""
    monkeypatch.chdir(tmp_path)

    def call(url: str, **changed: Any) -> SentMail:
        monkeypatch.setenv("CELERIAC_SMTP_URL", url)
        sent: SentMail = send.run(**MAIL | changed)
        return sent

    return call


def test_address_given_twice_gets_the_mail_once(smtp_server: SmtpServer, send_by: Sender) -> None:
    sent = send_by(smtp_server.url, to=["ann@example.com", "ann@example.com"])

    assert sent["to"] == ["ann@example.com"]
    assert smtp_server.received[0].recipients == ("ann@example.com",)


def test_farewell_that_goes_wrong_does_not_send_again(
    smtp_server: SmtpServer, send_by: Sender
) -> None:
    smtp_server.answers["QUIT"] = "421 4.3.2 Shutting down"

    send_by(smtp_server.url)

    assert len(smtp_server.received) == 1


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_untrusted_certificate_fails_for_good_before_the_password_is_sent(
    scheme: Scheme, certificate: Certificate, send_by: Sender
) -> None:
    with (
        smtp_server("mailer", "p4ssword", scheme, certificate) as server,
        pytest.raises(MailRefusedError, match=r"certificate .* not trusted .*SSL_CERT_FILE"),
    ):
        send_by(server.url)

    assert (server.passwords, server.offered) == (0, [])


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_trusted_certificate_gets_the_password_and_the_mail(
    scheme: Scheme,
    certificate: Certificate,
    send_by: Sender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with smtp_server("mailer", "p4ssword", scheme, certificate) as server:
        send_by(server.url)

    assert (server.passwords, len(server.received)) == (1, 1)


def test_missing_starttls_fails_for_good_and_says_what_to_do(
    smtp_server: SmtpServer, send_by: Sender
) -> None:
    with pytest.raises(MailRefusedError, match=r"no STARTTLS.*smtps://"):
        send_by(smtp_server.url.replace("smtp://", "smtp+starttls://me:secret@"))

    assert (smtp_server.passwords, smtp_server.offered) == (0, [])


def test_missing_login_fails_for_good_and_says_what_to_do(
    smtp_server: SmtpServer, send_by: Sender
) -> None:
    smtp_server.lacks.add("AUTH")

    with pytest.raises(MailRefusedError, match=r"no login.*CELERIAC_SMTP_URL"):
        send_by(smtp_server.url.replace("smtp://", "smtp://me:secret@"))


def test_address_that_the_server_cannot_write_fails_for_good(
    smtp_server: SmtpServer, send_by: Sender
) -> None:
    smtp_server.lacks.add("SMTPUTF8")

    with pytest.raises(MailRefusedError, match="no SMTPUTF8"):
        send_by(smtp_server.url, to=["jürgen@example.com"])


def test_wrong_password_fails_for_good_and_is_not_shown(send_by: Sender) -> None:
    with (
        smtp_server(user="mailer", password="right") as strict,
        pytest.raises(MailRefusedError, match="535") as caught,
    ):
        send_by(strict.url.replace("right", "wr0ng"))

    assert "wr0ng" not in str(caught.value)


def test_login_that_is_not_possible_for_now_is_temporary(send_by: Sender) -> None:
    with smtp_server(user="mailer", password="right") as busy:
        busy.login_answer = "454 4.7.0 Directory is away"
        with pytest.raises(MailDeferredError, match="Directory is away"):
            send_by(busy.url)


def test_server_that_is_away_is_temporary(send_by: Sender) -> None:
    with pytest.raises(MailDeferredError, match="refused"):
        send_by(f"smtp://{LOOPBACK}:{free_port()}")


def test_sender_that_is_no_address_names_its_setting(
    smtp_server: SmtpServer, send_by: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_SMTP_FROM", "The reports")

    with pytest.raises(ConfigurationError, match="CELERIAC_SMTP_FROM"):
        send_by(smtp_server.url)
