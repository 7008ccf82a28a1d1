"""Commands that are written and read at once."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, ResponseError
from redis.retry import Retry

from celeriac.exchange import SharedExchange, exchange, packed


@dataclass
class FakeConnection:
    """A connection with these answers, and its own pool."""

    answers: list[Any]
    told: list[str] = field(default_factory=list)
    sent: bytes = b""
    retry: Retry = field(default_factory=lambda: Retry(NoBackoff(), 0))

    def get_connection(self) -> "FakeConnection":
        return self

    def send_packed_command(self, command: list[bytes]) -> None:
        self.sent += b"".join(command)

    def read_response(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def disconnect(self) -> None:
        self.told.append("disconnect")

    def release(self, connection: Any) -> None:
        self.told.append("release")


class FakeServer:
    """Answers each command by its last part, and counts how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.exchanges = 0
        self.retry = Retry(NoBackoff(), 0)
        self._answers: list[bytes] = []

    def get_connection(self) -> "FakeServer":
        return self

    def send_packed_command(self, command: list[bytes]) -> None:
        assert not self._answers, "two exchanges at a time"
        self.exchanges += 1
        threading.Event().wait(0.001)  # Others come meanwhile.
        if self.error:
            raise self.error
        self._answers = re.findall(rb"ECHO\r\n\$\d+\r\n(\d+)", command[0])

    def read_response(self) -> bytes:
        return self._answers.pop(0)

    def disconnect(self) -> None:
        self._answers = []

    def release(self, connection: Any) -> None:
        pass


def client(connection: Any) -> Any:
    return SimpleNamespace(connection_pool=connection)


def test_a_command_is_packed_as_redis_reads_it() -> None:
    assert packed(["SET", b"k\xff", 17, "é"]) == (
        b"*4\r\n$3\r\nSET\r\n$2\r\nk\xff\r\n$2\r\n17\r\n$2\r\n\xc3\xa9\r\n"
    )


def test_commands_go_in_one_go_and_an_error_is_the_answer_of_its_own() -> None:
    refused = ResponseError("no")
    connection = FakeConnection([b"one", refused, b"three"])
    assert exchange(client(connection), [b"A", b"B", b"C"]) == [b"one", refused, b"three"]
    assert connection.sent == b"ABC"
    assert connection.told == ["release"]


def test_a_connection_whose_answer_did_not_come_is_not_used_again() -> None:
    connection = FakeConnection([b"one", ConnectionError("gone")])
    with pytest.raises(ConnectionError):
        exchange(client(connection), [b"A", b"B"])
    assert (connection.told[0], connection.told[-1]) == ("disconnect", "release")


def test_commands_are_sent_anew_as_often_as_the_client_would() -> None:
    connection = FakeConnection([ConnectionError("gone"), b"one"])
    connection.retry = Retry(NoBackoff(), 1)
    assert exchange(client(connection), [b"A"]) == [b"one"]
    assert (connection.sent, connection.told) == (b"AA", ["disconnect", "release"])


def test_commands_of_many_threads_go_together_and_each_gets_its_own_answer() -> None:
    server, shared = FakeServer(), SharedExchange()
    with ThreadPoolExecutor(20) as threads:
        sent = [threads.submit(shared.send, client(server), ["ECHO", n]) for n in range(200)]
        assert [each.result(10) for each in sent] == [b"%d" % n for n in range(200)]
    assert server.exchanges < 200


def test_error_of_an_exchange_reaches_each_whose_command_was_in_it() -> None:
    server, shared = FakeServer(error=ConnectionError("gone")), SharedExchange()
    with ThreadPoolExecutor(20) as threads:
        sent = [threads.submit(shared.send, client(server), ["ECHO", n]) for n in range(50)]
        assert all(isinstance(each.exception(10), ConnectionError) for each in sent)
    server.error = None
    assert shared.send(client(server), ["ECHO", 1]) == b"1"


def test_command_that_cannot_be_sent_holds_nobody_up() -> None:
    server, shared = FakeServer(), SharedExchange()
    with pytest.raises(UnicodeEncodeError):
        shared.send(client(server), ["ECHO", "\udcff"])
    assert shared.send(client(server), ["ECHO", 1]) == b"1"
