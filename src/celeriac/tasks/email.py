"""A task that sends mail by a real SMTP server, named by `CELERIAC_SMTP_URL`."""

import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Annotated, Any, TypedDict
from urllib.parse import SplitResult, unquote, urlsplit

from celery import Task, shared_task
from pydantic import EmailStr, Field

from celeriac.errors import CeleriacError, ConfigurationError
from celeriac.settings import Settings, load_settings

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class MailRefusedError(CeleriacError):
    """The mail server will never take this mail; the message carries its words."""

    code = "mail_refused"


class MailDeferredError(CeleriacError):
    """The mail server cannot take this mail for now; the message carries its words."""

    code = "mail_deferred"


class SentMail(TypedDict):
    """What the server accepted."""

    message_id: str
    to: list[str]
    server: str


@shared_task(
    name="email.send",
    bind=True,
    autoretry_for=(MailDeferredError,),
    max_retries=8,
    retry_backoff=2,
    retry_backoff_max=600,
    retry_jitter=True,
)
def send(
    self: "Task[Any, Any]",
    to: Annotated[list[EmailStr], Field(min_length=1, max_length=50)],
    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]+$")],
    body: Annotated[str, Field(max_length=500_000, json_schema_extra={"format": "multiline"})],
    sender: EmailStr | None = None,
) -> SentMail:
    """Send a plain-text mail.

    A temporary failure (connection lost, server busy, a 4xx answer) is tried again with growing
    pauses; a permanent one (a 5xx answer) fails at once with the server's words.

    Args:
        to: The recipients, one address each.
        subject: The subject line.
        body: The text.
        sender: Who it is from; CELERIAC_SMTP_FROM where it is not given.
    """
    settings = load_settings()
    if settings.smtp_url is None:
        raise ConfigurationError(
            "No mail server is configured. Set CELERIAC_SMTP_URL, for example "
            "smtp+starttls://user:password@mail.example.com, and restart the worker."
        )
    message = _message(str(self.request.id), to, subject, body, sender or settings.smtp_from)
    server = urlsplit(settings.smtp_url.get_secret_value())
    _deliver(message, server, settings)
    return SentMail(message_id=message["Message-ID"], to=to, server=server.hostname or "")


def _message(run_id: str, to: list[str], subject: str, body: str, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), subject
    message["Date"] = formatdate()
    # The same for each attempt, so that a server can tell a second delivery from a second mail.
    message["Message-ID"] = make_msgid(run_id, domain=sender.rpartition("@")[2])
    message.set_content(body)
    return message


def _deliver(message: EmailMessage, server: SplitResult, settings: Settings) -> None:
    try:
        with _connected(server, settings.smtp_timeout_s) as connection:
            refused = connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise _failure(error.recipients) from None
    except smtplib.SMTPResponseException as error:
        raise _failure({"server": (error.smtp_code, error.smtp_error)}) from None
    except (smtplib.SMTPException, OSError) as error:
        raise MailDeferredError(f"{server.hostname}: {error}") from None
    if refused:
        raise _failure(refused)


def _connected(server: SplitResult, timeout_s: float) -> smtplib.SMTP:
    factory = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    host, port = server.hostname or "", server.port or PORTS[server.scheme]
    connection = factory(host, port, timeout=timeout_s)
    try:
        if server.scheme == "smtp+starttls":
            connection.starttls()
        if server.username:
            connection.login(unquote(server.username), unquote(server.password or ""))
    except BaseException:
        connection.close()
        raise
    return connection


def _failure(answers: Mapping[str, tuple[int, bytes | str]]) -> CeleriacError:
    """Choose by the worst answer: any 5xx is for good."""
    words = "; ".join(
        f"{who}: {code} {text if isinstance(text, str) else text.decode(errors='replace')}"
        for who, (code, text) in answers.items()
    )
    permanent = any(code >= 500 for code, _ in answers.values())
    return MailRefusedError(words) if permanent else MailDeferredError(words)
