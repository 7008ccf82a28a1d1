"""A task that sends mail by a real SMTP server, named by `CELERIAC_SMTP_URL`."""

import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Annotated, Any, TypedDict
from urllib.parse import SplitResult, unquote, urlsplit

from celery import Task, shared_task
from celery.utils.log import get_task_logger
from pydantic import EmailStr, Field

from celeriac.errors import CeleriacError, ConfigurationError
from celeriac.settings import Settings, load_settings

logger = get_task_logger(__name__)

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class MailRefusedError(CeleriacError):
    """The mail server will never take this mail; the message carries its words."""

    code = "mail_refused"


class MailDeferredError(CeleriacError):
    """The mail server cannot take this mail for now; the message carries its words."""

    code = "mail_deferred"


class SentMail(TypedDict):
    """What became of the mail: who gets it, and the server's words about those who do not."""

    message_id: str
    to: list[str]
    refused: dict[str, str]
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
    pauses; a permanent one (a 5xx answer, an untrusted certificate) fails at once and says why.
    Where the server refuses only some recipients, the others get the mail, nobody gets it twice,
    and the result lists the refused ones.

    Args:
        to: The recipients, one address each.
        subject: The subject line.
        body: The text.
        sender: Who it is from; CELERIAC_SMTP_FROM where it is not given.
    """
    settings = load_settings()
    server = _server(settings)
    message = _message(str(self.request.id), to, subject, body, sender or settings.smtp_from)
    recipients = list(dict.fromkeys(to))
    mail_id = message["Message-ID"]
    logger.info("Handing %s to %s for %d recipients", mail_id, server.hostname, len(recipients))
    refused = _deliver(message, recipients, server, settings.smtp_timeout_s)
    for recipient, words in refused.items():
        logger.warning("%s was refused: %s", recipient, words)
    logger.info("The server has the mail for %d recipients", len(recipients) - len(refused))
    return SentMail(
        message_id=mail_id,
        to=[recipient for recipient in recipients if recipient not in refused],
        refused=refused,
        server=server.hostname or "",
    )


def _server(settings: Settings) -> SplitResult:
    if settings.smtp_url is None:
        raise ConfigurationError(
            "No mail server is configured. Set CELERIAC_SMTP_URL, for example "
            "smtp+starttls://user:password@mail.example.com, and restart the worker."
        )
    return urlsplit(settings.smtp_url.get_secret_value())


def _message(run_id: str, to: list[str], subject: str, body: str, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), subject
    message["Date"] = formatdate()
    # The same for each attempt of a run, so that a mail that was accepted although the connection
    # broke before the answer came can be told from a second mail.
    message["Message-ID"] = f"<{run_id}@{_address(sender).rpartition('@')[2]}>"
    message.set_content(body)
    return message


def _address(sender: str) -> str:
    """Take the bare address out of `Name <name@host>`."""
    address = parseaddr(sender)[1]
    if "@" not in address:
        raise ConfigurationError(f"{sender!r} is no mail address; check CELERIAC_SMTP_FROM.")
    return address


def _deliver(
    message: EmailMessage, to: Sequence[str], server: SplitResult, timeout_s: float
) -> dict[str, str]:
    """Hand the mail over; gives the server's words for each recipient that it refused."""
    try:
        with _connected(server, timeout_s) as connection:
            refused = connection.send_message(message, _address(message["From"]), to)
    except OSError as error:
        raise _failure(error, server.hostname or "") from None
    return {who: _words(*answer) for who, answer in refused.items()}


@contextmanager
def _connected(server: SplitResult, timeout_s: float) -> Iterator[smtplib.SMTP]:
    connection = _opened(server, timeout_s)
    try:
        if server.scheme == "smtp+starttls":
            _start_tls(connection, server)
        if server.username:
            _log_in(connection, server)
        yield connection
        # The server has the mail by now, so a farewell that goes wrong is no failure.
        with suppress(OSError):
            connection.quit()
    finally:
        connection.close()


def _opened(server: SplitResult, timeout_s: float) -> smtplib.SMTP:
    host, port = server.hostname or "", server.port or PORTS[server.scheme]
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=context)
    return smtplib.SMTP(host, port, timeout=timeout_s)


def _start_tls(connection: smtplib.SMTP, server: SplitResult) -> None:
    try:
        connection.starttls(context=ssl.create_default_context())
    except smtplib.SMTPNotSupportedError:
        raise MailRefusedError(
            f"{server.hostname} offers no STARTTLS, so nothing was sent to it. Use smtps:// in "
            "CELERIAC_SMTP_URL if it speaks TLS from the start, or smtp:// on a trusted network."
        ) from None


def _log_in(connection: smtplib.SMTP, server: SplitResult) -> None:
    try:
        connection.login(unquote(server.username or ""), unquote(server.password or ""))
    except (smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected):
        raise
    except smtplib.SMTPException as error:
        raise MailRefusedError(
            f"{server.hostname} offers no login that can be used here: {error} Take user and "
            "password out of CELERIAC_SMTP_URL, or use smtp+starttls:// or smtps://: many servers "
            "let people log in only over TLS."
        ) from None


def _failure(error: OSError, host: str) -> CeleriacError:
    """Tell what can pass (everything about the network) from what stays until somebody acts."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _all_refused(error.recipients)
        case smtplib.SMTPResponseException():
            return _all_refused({host: (error.smtp_code, error.smtp_error)})
        case ssl.SSLCertVerificationError():
            return MailRefusedError(
                f"The certificate of {host} is not trusted ({error.verify_message}), so neither "
                "password nor mail was sent. Name the server in CELERIAC_SMTP_URL as its "
                "certificate does, or name the authority's file in SSL_CERT_FILE for the workers."
            )
        case smtplib.SMTPNotSupportedError():
            return MailRefusedError(
                f"{host} takes only plain ASCII addresses (it offers no SMTPUTF8). Write the "
                "addresses without other letters, or use another server."
            )
    return MailDeferredError(f"{host}: {error}")


def _all_refused(answers: Mapping[str, tuple[int, bytes | str]]) -> CeleriacError:
    """Choose by the best answer: while one recipient may still get the mail, try again."""
    words = "; ".join(f"{who}: {_words(*answer)}" for who, answer in answers.items())
    permanent = all(code >= 500 for code, _ in answers.values())
    return MailRefusedError(words) if permanent else MailDeferredError(words)


def _words(code: int, text: bytes | str) -> str:
    return f"{code} {text if isinstance(text, str) else text.decode(errors='replace')}"
