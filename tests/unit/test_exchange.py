"""Commands that are written and read at once."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ResponseError

from celeriac.exchange import exchange, packed


@dataclass
class FakeConnection:
    """A connection with these answers, and its own pool."""

    answers: list[Any]
    told: list[str] = field(default_factory=list)
    sent: bytes = b""

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


def client(connection: FakeConnection) -> Any:
    return SimpleNamespace(connection_pool=connection)


def test_a_command_is_packed_as_redis_reads_it() -> None:
    assert packed(["SET", b"k\xff", 17, "é"]) == (
        b"*4\r\n$3\r\nSET\r\n$2\r\nk\xff\r\n$2\r\n17\r\n$2\r\n\xc3\xa9\r\n"
    )


def test_commands_go_in_one_go_and_an_error_is_the_answer_of_its_own() -> None:
    refused = ResponseError("no")
    connection = FakeConnection([b"one", refused, b"three"])
    assert exchange(client(connection), [["A"], ["B"], ["C"]]) == [b"one", refused, b"three"]
    assert connection.sent == packed(["A"]) + packed(["B"]) + packed(["C"])
    assert connection.told == ["release"]


def test_a_connection_whose_answer_did_not_come_is_not_used_again() -> None:
    connection = FakeConnection([b"one", ConnectionError("gone")])
    with pytest.raises(ConnectionError):
        exchange(client(connection), [["A"], ["B"]])
    assert connection.told == ["disconnect", "release"]
