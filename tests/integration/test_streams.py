"""Server-Sent Events from a real web process, with a real worker behind it."""

import http.client
import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening
from services import Services
from worker_process import celeriac_environment, running_worker


class Message(NamedTuple):
    """One server-sent event."""

    id: str
    event: str
    data: str


class Stream:
    """A client of a stream, which reads until it is told to stop or the stream ends."""

    def __init__(self, port: int, path: str, last_event_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self._connection.request("GET", path, headers=headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[Message]:
        fields: dict[str, str] = {}
        for line in self._response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            elif "data" in fields:
                yield Message(fields.get("id", ""), fields.get("event", ""), fields["data"])
                fields = {}

    def until(self, event: str) -> list[Message]:
        """Read up to the first event of this kind."""
        found: list[Message] = []
        for message in self:
            found.append(message)
            if message.event == event:
                return found
        raise AssertionError(f"the stream ended without {event}: {found}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def port(folder: Path, services: Services) -> Iterator[int]:
    port = free_port()
    web = ChildProcess(
        command=[sys.executable, "-m", "celeriac", "web", "--port", str(port)],
        log_path=folder / "web.log",
        env=celeriac_environment(folder, *services),
        cwd=folder,
    )
    web.start()
    try:
        with running_worker(folder, *services):
            eventually(lambda: is_listening(port), deadline_s=30)
            yield port
    finally:
        web.stop()


def _submit(port: int, task: str, **args: Any) -> str:
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/api/v1/tasks/{task}/runs",
        json.dumps({"args": args}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["id"])


def _read(port: int, path: str) -> list[Message]:
    with Stream(port, path) as stream:
        return list(stream)


def test_stream_of_a_run_begins_with_the_run_and_ends_with_its_end(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=50_000_000)

    messages = _read(port, f"/api/v1/runs/{run_id}/events")

    kinds = [message.event for message in messages]
    assert (kinds[0], kinds[-1]) == ("run", "succeeded")
    assert "progress" in kinds
    assert json.loads(messages[0].data)["id"] == run_id
    assert json.loads(messages[-1].data)["data"]["result"] == 3_001_134


def test_stream_of_a_finished_run_is_its_end_and_then_nothing(port: int) -> None:
    run_id = _submit(port, "text.reverse", text="abc")
    eventually(lambda: _has_ended(port, run_id), deadline_s=20)

    messages = _read(port, f"/api/v1/runs/{run_id}/events")

    assert [message.event for message in messages] == ["run"]


def test_client_that_comes_back_misses_nothing(port: int) -> None:
    with Stream(port, "/api/v1/events") as everything:
        first = _submit(port, "text.reverse", text="one")
        seen = everything.until("succeeded")
    second = _submit(port, "text.reverse", text="two")
    eventually(lambda: _has_ended(port, second), deadline_s=20)

    with Stream(port, "/api/v1/events", last_event_id=seen[0].id) as again:
        resumed = again.until("succeeded") + again.until("succeeded")

    assert {first, second} == {json.loads(message.data)["run"] for message in resumed}
    assert [m.id for m in resumed[: len(seen) - 1]] == [m.id for m in seen[1:]]


def test_client_that_knows_the_end_gets_204(port: int) -> None:
    run_id = _submit(port, "text.reverse", text="abc")
    with Stream(port, "/api/v1/events", last_event_id="0-1") as stream:
        last = next(m for m in stream if m.event == "succeeded" and run_id in m.data)

    with Stream(port, f"/api/v1/runs/{run_id}/events", last_event_id=last.id) as stream:
        assert stream.status == 204


def test_unknown_run_has_no_stream(port: int) -> None:
    with Stream(port, "/api/v1/runs/nothing/events") as stream:
        assert stream.status == 404


def test_page_of_a_run_is_drawn_again_until_its_end(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=50_000_000)

    messages = _read(port, f"/runs/{run_id}/live")

    assert messages[-1].event == "finished"
    assert 'data-state="SUCCESS"' in messages[-2].data
    assert len(messages) < 40, "many changes at once are drawn as one"


def test_five_hundred_viewers_leave_room_for_short_requests(port: int) -> None:
    with ExitStack() as opened:
        viewers = [opened.enter_context(Stream(port, "/api/v1/events")) for _ in range(500)]

        run_id = _submit(port, "text.reverse", text="abc")

        assert eventually(lambda: _has_ended(port, run_id), deadline_s=10)
        assert all(run_id in viewer.until("succeeded")[-1].data for viewer in viewers)


def _has_ended(port: int, run_id: str) -> bool:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/v1/runs/{run_id}") as response:
        return bool(json.load(response)["finished_at"])
