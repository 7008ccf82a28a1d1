"""Server-Sent Events from a real web process, with a real worker behind it."""

import asyncio
import gc
import http.client
import json
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from celeriac.events import STREAM, Event, EventKind
from celeriac.redis_client import close_on_loop, connect_on_loop
from celeriac.runs import live
from celeriac.web.run_page import BETWEEN_DRAWINGS_S
from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening
from servers import RedisServer
from services import Services
from worker_process import celeriac_environment, running_worker

LONG, FOUND = 300_000_000, 16_252_325
"""How far primes are counted where somebody has to be there before the end, and what is found."""


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


def _read(port: int, path: str, last_event_id: str | None = None) -> list[Message]:
    with Stream(port, path, last_event_id) as stream:
        return list(stream)


def test_stream_of_a_run_begins_with_the_run_and_ends_with_its_end(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=LONG)

    messages = _read(port, f"/api/v1/runs/{run_id}/events")

    kinds = [message.event for message in messages]
    assert (kinds[0], kinds[-1]) == ("run", "succeeded")
    assert "progress" in kinds
    assert json.loads(messages[0].data)["id"] == run_id
    assert json.loads(messages[-1].data)["data"]["result"] == FOUND


def test_stream_of_a_run_brings_what_it_logs(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=20_000_000)

    messages = _read(port, f"/api/v1/runs/{run_id}/events", last_event_id="0-1")

    logged = [json.loads(message.data)["data"] for message in messages if message.event == "log"]
    assert logged[-1]["text"].startswith("Found 1,270,607 primes")
    assert (logged[-1]["level"], logged[-1]["attempt"]) == ("INFO", 1)


def test_lines_are_sent_to_the_page_apart_from_its_drawings(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=20_000_000)

    messages = _read(port, f"/runs/{run_id}/live?after=0-1")

    sent = [m for m in messages if m.event == "log"]
    lines = [line for message in sent for line in json.loads(message.data)]
    assert lines[0]["text"].startswith("Sieving up to 20,000,000")
    assert lines[-1]["text"].startswith("Found 1,270,607 primes")
    assert sent[-1].id == lines[-1]["id"]
    assert len({line["id"] for line in lines}) == len(lines)


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


def test_client_that_comes_back_after_the_end_gets_the_rest_and_then_204(port: int) -> None:
    run_id = _submit(port, "text.reverse", text="abc")
    eventually(lambda: _has_ended(port, run_id), deadline_s=20)
    path, known = f"/api/v1/runs/{run_id}/events", "0-1"

    def is_all_known() -> bool:
        nonlocal known
        with Stream(port, path, last_event_id=known) as stream:
            known = [known, *(message.id for message in stream)][-1]
            return stream.status == 204

    assert eventually(is_all_known, deadline_s=20)
    assert known != "0-1"


def test_unknown_run_has_no_stream(port: int) -> None:
    with Stream(port, "/api/v1/runs/nothing/events") as stream:
        assert stream.status == 404


def test_page_of_a_run_is_drawn_again_until_its_end(port: int) -> None:
    run_id = _submit(port, "primes.count", limit=LONG)

    begun_s = time.monotonic()
    messages = _read(port, f"/runs/{run_id}/live")
    took_s = time.monotonic() - begun_s

    assert messages[-1].event == "finished"
    assert 'data-state="SUCCESS"' in messages[-2].data
    drawings = [m for m in messages if "data-state" in m.data]
    assert 2 <= len(drawings) <= took_s / BETWEEN_DRAWINGS_S + 2, "changes at once are drawn as one"


def test_five_hundred_viewers_leave_room_for_short_requests(port: int) -> None:
    with ExitStack() as opened:
        viewers = [opened.enter_context(Stream(port, "/api/v1/events")) for _ in range(500)]

        run_id = _submit(port, "text.reverse", text="abc")

        assert eventually(lambda: _has_ended(port, run_id), deadline_s=10)
        assert all(run_id in viewer.until("succeeded")[-1].data for viewer in viewers)


def _has_ended(port: int, run_id: str) -> bool:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/v1/runs/{run_id}") as response:
        return bool(json.load(response)["finished_at"])


def test_listeners_are_sent_away_when_the_stream_begins_anew(
    valkey_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BLOCK_MS", 50)
    valkey_server.flush()
    fields = Event("a", EventKind.STARTED, datetime.now(UTC)).fields()

    async def listen() -> list[str | None]:
        seen: list[str | None] = []
        async with aclosing(live.LiveEvents(valkey_server.url).listen()) as happenings:
            await anext(happenings)
            with valkey_server.client() as client:
                client.delete(STREAM)
                client.xadd(STREAM, fields, id="1-0")  # As on a host whose clock is behind.
            async for events in happenings:
                seen += [event.id for event in events]
        return seen

    with valkey_server.client() as client:
        client.xadd(STREAM, fields)
    assert asyncio.run(asyncio.wait_for(listen(), 20)) == []


@pytest.mark.parametrize("steps", range(6))
def test_no_connection_is_left_open_by_a_loop_that_ends_while_it_closes(
    valkey_server: RedisServer, steps: int
) -> None:
    async def close() -> None:
        client = connect_on_loop(valkey_server.url, timeout_s=10)
        await client.ping()
        closing = asyncio.create_task(close_on_loop(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        assert not closing.cancelled()

    gc.collect()  # What others have left open is not ours.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(close())
        gc.collect()

    assert [str(each.message) for each in said] == []
