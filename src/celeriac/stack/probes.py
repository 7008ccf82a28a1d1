"""Whether a server answers, asked over its own protocol in one short exchange."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from celeriac.stack.addresses import reachable

ANSWER_WITHIN_S = 5.0


class Probe(Protocol):
    """A question that is true once a role is ready."""

    async def __call__(self) -> bool: ...


@dataclass(frozen=True)
class PortProbe:
    """Something accepts connections."""

    host: str
    port: int

    async def __call__(self) -> bool:
        return await _exchange(self.host, self.port, b"") is not None


@dataclass(frozen=True)
class HttpProbe:
    """The path answers 200."""

    host: str
    port: int
    path: str

    async def __call__(self) -> bool:
        request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await _exchange(self.host, self.port, request.encode())
        return answer is not None and answer.split(b" ")[1:2] == [b"200"]


@dataclass(frozen=True)
class PongProbe:
    """Redis or Valkey takes the user's password and has loaded its data."""

    host: str
    port: int
    user: str
    password: SecretStr = field(repr=False)

    async def __call__(self) -> bool:
        secret = self.password.get_secret_value()
        answer = await _exchange(
            self.host, self.port, f"AUTH {self.user} {secret}\r\nPING\r\n".encode(), 2
        )
        return answer == b"+OK\r\n+PONG\r\n"


async def _exchange(host: str, port: int, request: bytes, lines: int = 1) -> bytes | None:
    """Send the request, if any, and give the first lines of the answer; None: no answer."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(reachable(host), port)
            try:
                writer.write(request)
                return b"".join([await reader.readline() for _ in range(lines if request else 0)])
            finally:
                writer.close()
    except (OSError, ValueError):
        return None
