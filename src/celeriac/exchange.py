"""Commands to Redis with no more around them than they need.

Of what a change of a run costs, redis-py's own bookkeeping was the largest part: each of its forty
arguments is looked at a dozen times, and each call is measured, wrapped and tried again by several
layers. Here commands are written at once, and their answers read.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

Command = Sequence[str | bytes | int]
Send = Callable[[Any, Command], Any]
"""Sends a command by a client, and gives its answer; an error of the server's is one too."""


def send_alone(client: Any, command: Command) -> Any:
    """Send one command and give its answer.

    Raises:
        redis.ConnectionError, redis.TimeoutError: it may have been carried out.
    """
    return exchange(client, [packed(command)])[0]


def exchange(client: Any, commands: Sequence[bytes]) -> list[Any]:
    """Send packed commands in one go and give their answers; an error is the answer of its own.

    Where an answer does not come, all are tried again as often as the client would.

    Raises:
        redis.ConnectionError, redis.TimeoutError: any of them may have been carried out.
    """
    pool = client.connection_pool
    connection = pool.get_connection()

    def once() -> list[Any]:
        connection.send_packed_command([b"".join(commands)])
        return [_answer(connection) for _ in commands]

    try:
        return list(connection.retry.call_with_retry(once, lambda _: connection.disconnect()))
    except BaseException:
        # What is still to come would be taken for the answer of who has the connection next.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def packed(command: Command) -> bytes:
    """Give a command as the protocol of Redis has it."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts]))


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


@dataclass(eq=False)
class _Call:
    """What one thread has to say, and waits for."""

    command: bytes
    is_over: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: Any = None


class SharedExchange:
    """Takes the commands of many threads, and sends what has come together in one go.

    Whoever comes first sends. What comes while an answer is awaited goes with the next exchange,
    which one of those who wait then leads: nobody ever waits for commands that may never come. All
    share the connections of the first client.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._is_sending = False
        self._client: Any = None

    def send(self, client: Any, command: Command) -> Any:
        """Send a command together with those of others, and give its answer.

        Raises:
            redis.ConnectionError, redis.TimeoutError: it may have been carried out.
        """
        call = _Call(packed(command))
        with self._lock:
            self._client = self._client or client
            self._waiting.append(call)
            call.leads, self._is_sending = not self._is_sending, True
        if not call.leads:
            call.is_over.wait()
        if call.leads:
            self._lead()
        if isinstance(call.answer, (ConnectionError, TimeoutError)):
            raise call.answer
        return call.answer

    def _lead(self) -> None:
        with self._lock:
            calls, self._waiting = self._waiting, []
        try:
            answers = exchange(self._client, [call.command for call in calls])
        except BaseException as error:
            # Each of them tries again by itself, or tells what has gone wrong.
            lost = error if isinstance(error, Exception) else ConnectionError(repr(error))
            answers = [lost] * len(calls)
            if lost is not error:
                raise
        finally:
            self._pass_on()
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
                call.is_over.set()

    def _pass_on(self) -> None:
        """Have the next exchange led by who waits for it longest."""
        with self._lock:
            self._is_sending = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].is_over.set()


_shared: WeakKeyDictionary[Celery, SharedExchange] = WeakKeyDictionary()


def share_exchange(app: Celery) -> None:
    """Have the threads of this process, which must not fork, send together."""
    _shared[app] = SharedExchange()


def sender_of(app: Celery) -> Send:
    """Give what sends the commands of an app in this process."""
    shared = _shared.get(app)
    return shared.send if shared else send_alone
