"""A real SMTP server that answers as a test wants: it accepts, refuses, hangs, wants a login."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal
from urllib.parse import quote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from processes import LOOPBACK, free_port

Command = Literal["EHLO", "MAIL", "RCPT", "DATA"]

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
    an answer of its own is accepted.
    """

    user: str | None = None
    password: str | None = None
    port: int = field(default_factory=free_port)
    received: list[Received] = field(default_factory=list)
    answers: dict[Command, str] = field(default_factory=dict)
    attempts: int = 0
    """How many times a client greeted."""

    @property
    def url(self) -> str:
        """Give the address, with user and password when it asks for them."""
        login = f"{quote(self.user, '')}:{quote(self.password or '', '')}@" if self.user else ""
        return f"smtp://{login}{LOOPBACK}:{self.port}"

    def accept(self) -> None:
        """Accept everything again."""
        self.answers.clear()

    # aiosmtpd finds these by name and calls them with its own objects.

    async def handle_EHLO(  # noqa: N802
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet."""
        self.attempts += 1
        session.host_name = hostname
        answer = await self._answer("EHLO")
        return [answer] if answer else responses

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
        if answer := await self._answer("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take the message."""
        if answer := await self._answer("DATA"):
            return answer
        lines = envelope.content.replace(b"\r\n", b"\n")  # As a person's mail program shows it.
        message = message_from_bytes(lines, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append(Received(envelope.mail_from, tuple(envelope.rcpt_tos), message))
        return "250 OK"

    async def _answer(self, command: Command) -> str | None:
        answer = self.answers.get(command)
        if answer == HANG:
            await asyncio.Event().wait()
        return answer

    def _authenticate(self, *details: Any) -> AuthResult:
        login = details[-1]
        assert isinstance(login, LoginPassword)
        wanted = ((self.user or "").encode(), (self.password or "").encode())
        return AuthResult(success=(login.login, login.password) == wanted, handled=False)


@contextmanager
def smtp_server(user: str | None = None, password: str | None = None) -> Iterator[SmtpServer]:
    """Run the server; given a user, it refuses mail from anybody who does not log in."""
    server = SmtpServer(user, password)
    controller = Controller(
        server,
        hostname=LOOPBACK,
        port=server.port,
        authenticator=server._authenticate,
        auth_required=user is not None,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
