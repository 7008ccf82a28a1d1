"""A real SMTP server that answers as a test wants: it accepts, refuses, hangs, wants a login."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from shutil import which
from subprocess import run
from typing import Any, Literal
from urllib.parse import quote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from processes import LOOPBACK, free_port
from servers import missing

Scheme = Literal["smtp", "smtp+starttls", "smtps"]
Command = Literal["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]

HANG = "hang"
"""An answer that never comes, until the client or the server gives up."""


@dataclass(frozen=True)
class Received:
    """One accepted message with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


@dataclass
class SmtpServer:
    """What the server got, and what it answers.

    `answers["DATA"] = "451 4.3.0 Try again later"` makes every message fail for now, `"550 5.1.1 No
    such user"` for `"RCPT"` refuses every recipient, `HANG` lets the client wait. A command without
    an answer of its own is accepted. `refuses["bob@example.com"] = "450 4.2.1 Mailbox full"` is for
    one recipient, `lacks = {"AUTH"}` takes an extension out of the greeting.
    """

    scheme: Scheme = "smtp"
    user: str | None = None
    password: str | None = None
    port: int = field(default_factory=free_port)
    received: list[Received] = field(default_factory=list)
    answers: dict[Command, str] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    lacks: set[str] = field(default_factory=set)
    login_answer: str | None = None
    """What a login gets, right or wrong; by default the password decides."""
    attempts: int = 0
    """How many times a client greeted."""
    passwords: int = 0
    """How many times a client sent a password."""
    offered: list[str] = field(default_factory=list)
    """The Message-ID of each mail that came, accepted or not."""

    @property
    def url(self) -> str:
        """Give the address, with user and password when it asks for them."""
        login = f"{quote(self.user, '')}:{quote(self.password or '', '')}@" if self.user else ""
        return f"{self.scheme}://{login}{LOOPBACK}:{self.port}"

    def accept(self) -> None:
        """Accept everything again."""
        self.answers.clear()
        self.refuses.clear()

    # aiosmtpd finds these by name and calls them with its own objects.

    async def handle_EHLO(  # noqa: N802
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet."""
        self.attempts += 1
        session.host_name = hostname
        answer = await self._answer("EHLO")
        return [answer] if answer else [line for line in responses if not self._is_lacked(line)]

    async def handle_MAIL(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take the sender."""
        if answer := await self._answer("MAIL"):
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take one recipient."""
        if answer := await self._answer("RCPT") or self.refuses.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take the message."""
        lines = envelope.content.replace(b"\r\n", b"\n")  # As a person's mail program shows it.
        message = message_from_bytes(lines, policy=default)
        assert isinstance(message, EmailMessage)
        self.offered.append(message["Message-ID"])
        if answer := await self._answer("DATA"):
            return answer
        self.received.append(Received(envelope.mail_from, tuple(envelope.rcpt_tos), message))
        return "250 OK"

    async def handle_QUIT(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802
        """Part."""
        return await self._answer("QUIT") or "221 Bye"

    async def _answer(self, command: Command) -> str | None:
        answer = self.answers.get(command)
        if answer == HANG:
            await asyncio.Event().wait()
        return answer

    def _is_lacked(self, line: str) -> bool:
        return line[len("250-") :].split()[0] in self.lacks

    def _authenticate(self, *details: Any) -> AuthResult:
        self.passwords += 1
        if self.login_answer:
            return AuthResult(success=False, handled=False, message=self.login_answer)
        login = details[-1]
        assert isinstance(login, LoginPassword)
        wanted = ((self.user or "").encode(), (self.password or "").encode())
        return AuthResult(success=(login.login, login.password) == wanted, handled=False)


@dataclass(frozen=True)
class Certificate:
    """A certificate for the loopback address that nobody has signed but itself."""

    path: Path
    key_path: Path

    @property
    def context(self) -> ssl.SSLContext:
        """Give what a server needs to show it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path, self.key_path)
        return context


def self_signed(folder: Path) -> Certificate:
    """Make a certificate that only those trust who are told to."""
    if which("openssl") is None:
        missing("openssl", "openssl")
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    names = ("-subj", f"/CN={LOOPBACK}", "-addext", f"subjectAltName=IP:{LOOPBACK}")
    usage = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")
    files = ("-keyout", made.key_path, "-out", made.path)
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    run([*command, *names, *usage, *files], check=True, capture_output=True)
    return made


@contextmanager
def smtp_server(
    user: str | None = None,
    password: str | None = None,
    scheme: Scheme = "smtp",
    certificate: Certificate | None = None,
) -> Iterator[SmtpServer]:
    """Run the server; given a user, it refuses mail from anybody who does not log in.

    The schemes with TLS need a certificate; after `smtp+starttls` it takes no mail without TLS.
    """
    server = SmtpServer(scheme, user, password)
    context = certificate.context if certificate else None
    controller = Controller(
        server,
        hostname=LOOPBACK,
        port=server.port,
        authenticator=server._authenticate,
        auth_required=user is not None,
        auth_require_tls=scheme == "smtp+starttls",
        ssl_context=context if scheme == "smtps" else None,
        tls_context=context if scheme == "smtp+starttls" else None,
        require_starttls=scheme == "smtp+starttls",
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
