"""Lines on their way to the stream: bounded, in order, counted where they are left out."""

import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from celeriac.events import Event
from celeriac.log_buffer import MOST_LINES, LogBuffer
from eventually import eventually

NOW = datetime.now(UTC)


class _Request:
    """What the buffer reads of Celery's request."""

    hostname = "w@host"

    def __init__(self, run_id: str = "run", retries: int = 0) -> None:
        self.id = run_id
        self.retries = retries


class _Stream:
    """A stream that can be away or full."""

    def __init__(self) -> None:
        self.lines: list[Event] = []
        self.is_away = False
        self.is_full = False

    def write(self, lines: Sequence[Event]) -> None:
        if self.is_away:
            raise ConnectionError("away")
        self.lines += lines

    def has_room(self) -> bool:
        if self.is_away:
            raise ConnectionError("away")
        return not self.is_full

    @property
    def texts(self) -> list[str]:
        return [str(line.data["text"]) for line in self.lines]


@pytest.fixture
def stream() -> _Stream:
    return _Stream()


def _buffer(stream: _Stream, most_lines: int = 1000) -> LogBuffer:
    return LogBuffer(stream.write, stream.has_room, most_lines)


def _log(buffer: LogBuffer, request: _Request, *texts: str) -> None:
    for text in texts:
        buffer.add(request, lambda text=text: (NOW, {"level": "INFO", "text": text}))  # type: ignore[misc]


def _texts(lines: list[Event]) -> list[str]:
    return [str(line.data["text"]) for line in lines]


def test_lines_are_written_in_order_soon(stream: _Stream) -> None:
    _log(_buffer(stream), _Request(retries=2), "one", "two")

    eventually(lambda: stream.texts == ["one", "two"])
    assert stream.lines[0].run_id == "run"
    assert stream.lines[0].data == {
        "level": "INFO",
        "text": "one",
        "worker": "w@host",
        "attempt": 3,
    }


def test_lines_of_a_run_that_ends_are_given_to_whoever_tells_of_the_end(stream: _Stream) -> None:
    stream.is_away = True
    buffer, ending, other = _buffer(stream), _Request("ending"), _Request("other")
    _log(buffer, ending, "a")
    _log(buffer, other, "b")
    _log(buffer, ending, "c")

    assert _texts(buffer.ending(ending)) == ["a", "c"]
    stream.is_away = False
    eventually(lambda: stream.texts == ["b"])


def test_run_that_logged_nothing_has_no_lines(stream: _Stream) -> None:
    assert _buffer(stream).ending(_Request()) == []


def test_lines_past_the_most_are_counted_and_never_made(stream: _Stream) -> None:
    buffer, request = _buffer(stream, most_lines=3), _Request()
    made: list[int] = []

    def line() -> tuple[datetime, dict[str, str]]:
        made.append(1)
        return NOW, {"text": "x"}

    for _ in range(100_000):
        buffer.add(request, line)
    eventually(lambda: len(stream.lines) == 3)

    note = buffer.ending(request)
    assert len(made) == 3
    assert _texts(note) == ["99,997 more lines were left out; 3 are kept of an attempt."]


def test_oldest_lines_go_when_redis_stays_away(stream: _Stream) -> None:
    stream.is_away = True
    buffer, request = _buffer(stream, most_lines=10_000), _Request()

    _log(buffer, request, *(str(number) for number in range(MOST_LINES + 5)))

    lines = _texts(buffer.ending(request))
    assert lines[0] == "5" and len(lines) == MOST_LINES + 1
    assert lines[-1] == "5 more lines were left out; Redis was away or too slow."


def test_lines_wait_in_order_until_redis_is_back(stream: _Stream) -> None:
    stream.is_away = True
    buffer, request = _buffer(stream), _Request()
    _log(buffer, request, "one")
    assert not buffer.flush()
    _log(buffer, request, "two")

    stream.is_away = False

    eventually(lambda: stream.texts == ["one", "two"])


def test_lines_leave_a_stream_that_is_long_to_the_events_of_runs(stream: _Stream) -> None:
    stream.is_full = True
    buffer, request = _buffer(stream), _Request()
    _log(buffer, request, "one")

    eventually(lambda: not buffer._lines)
    _log(buffer, request, "two")

    assert _texts(buffer.ending(request)) == [
        "2 more lines were left out; the recorder is behind, and events of runs go before lines."
    ]
    assert stream.lines == []


def test_each_reason_is_told_with_its_number(stream: _Stream) -> None:
    stream.is_away = True
    buffer, request = _buffer(stream, most_lines=MOST_LINES + 1), _Request()

    _log(buffer, request, *(str(number) for number in range(MOST_LINES + 4)))

    assert _texts(buffer.ending(request))[-1] == (
        f"3 more lines were left out; {MOST_LINES + 1:,} are kept of an attempt. "
        "1 more line was left out; Redis was away or too slow."
    )


def test_end_waits_for_lines_that_are_being_written(stream: _Stream) -> None:
    let_go = threading.Event()
    writes = threading.Event()

    def write(lines: Sequence[Event]) -> None:
        writes.set()
        assert let_go.wait(5)
        stream.write(lines)

    buffer, request = LogBuffer(write, lambda: True, 1000), _Request()
    _log(buffer, request, "one")
    assert writes.wait(5)
    _log(buffer, request, "two")
    threading.Timer(0.05, let_go.set).start()

    rest = buffer.ending(request)

    assert [*stream.texts, *_texts(rest)] == ["one", "two"]


def test_no_line_follows_the_end_of_its_attempt(
    stream: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.log_buffer.LONGEST_WAIT_S", 0.05)
    let_go, writes = threading.Event(), threading.Event()

    def write(lines: Sequence[Event]) -> None:
        if not writes.is_set():
            writes.set()
            assert let_go.wait(5)
            raise ConnectionError("away")
        stream.write(lines)

    buffer, ending, other = LogBuffer(write, lambda: True, 1000), _Request("ending"), _Request()
    _log(buffer, ending, "one")
    _log(buffer, other, "two")
    assert writes.wait(5)

    rest = _texts(buffer.ending(ending))
    let_go.set()
    eventually(lambda: stream.texts)

    assert stream.texts == ["two"]
    assert rest == [
        "1 more line may be missing; Redis gave no answer in time when the attempt ended."
    ]


def test_forked_child_begins_with_an_empty_buffer(stream: _Stream) -> None:
    stream.is_away = True
    buffer, request = _buffer(stream), _Request()
    _log(buffer, request, "of the parent")
    read_end, write_end = os.pipe()
    with buffer._writing:  # A lock that somebody holds at that moment must not stop the child.
        child = os.fork()
        if child == 0:
            _log(buffer, request, "of the child")
            os.write(write_end, "|".join(_texts(buffer.ending(request))).encode())
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)

    with os.fdopen(read_end) as answer:
        assert answer.read() == "of the child"
    assert _texts(buffer.ending(request)) == ["of the parent"]
