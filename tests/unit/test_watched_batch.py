"""A batch that is sent for hours, by somebody who may no longer meanwhile."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from access_app import CHEAP, ROOT, AccessApp, access_app
from celeriac.access import Role, Scope, passwords
from celeriac.runs.batch import LineAnswer
from celeriac.runs.lines import Lines
from celeriac.web.access import watching

LINE = b'{"task": "text.reverse"}\n'
ALL = 20
LAST = 7
"""The last line that comes before something happens."""


class _Runs:
    """Submits the lines of a batch two at a time."""

    def __init__(self) -> None:
        self.submitted: list[int] = []

    def batch(self, file: BinaryIO, limit_bytes: int) -> Iterator[LineAnswer]:
        chunk: list[int] = []
        for line in Lines(file, limit_bytes):
            chunk.append(line.number)
            if len(chunk) == 2:
                self.submitted += chunk
                yield from (LineAnswer(number, f"run-{number}") for number in chunk)
                chunk = []


class _Upload(io.RawIOBase):
    """A body whose lines come one by one, and something that happens in between."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = happens
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._given == LAST:
            self._happens()
        if self._given == ALL:
            return 0
        self._given += 1
        buffer[: len(LINE)] = LINE
        return len(LINE)


@pytest.fixture
def runs() -> _Runs:
    return _Runs()


@pytest.fixture
def web(tmp_path: Path, runs: _Runs, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccessApp]:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    monkeypatch.setattr(watching, "ASKED_EVERY_S", 0)
    with access_app(tmp_path, runs) as found:
        found.add("ada", Role.OPERATOR)
        yield found


def _revoke(web: AccessApp) -> None:
    (token,) = web.access.tokens.all()
    web.access.tokens.revoke(ROOT, token.id)


def _nothing(web: AccessApp) -> None:
    del web


CHANGES: dict[str, Callable[[AccessApp], None]] = {
    "revoked": _revoke,
    "disabled": lambda web: web.access.users.disable(ROOT, "ada"),
    "lower": lambda web: web.access.users.change(ROOT, "ada", Role.VIEWER, Scope()),
    "limited": lambda web: web.access.users.change(
        ROOT, "ada", Role.OPERATOR, Scope(queues=("fast",))
    ),
    "nothing": _nothing,
}


@pytest.mark.parametrize("change", CHANGES)
def test_batch_ends_where_its_sender_may_no_longer(
    web: AccessApp, runs: _Runs, change: str
) -> None:
    body = _Upload(lambda: CHANGES[change](web))

    answer = web.app.test_client().post(
        "/api/v1/runs/batch",
        content_type="application/x-ndjson",
        headers=web.bearer("ada", Role.OPERATOR),
        environ_overrides={"wsgi.input_terminated": True, "wsgi.input": body},
    )

    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    if change == "nothing":
        assert len(lines) == len(runs.submitted) == ALL
        return
    # Line 7 was read and not submitted, since it came with line 8.
    assert runs.submitted == [1, 2, 3, 4, 5, 6]
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[-1]["problem"]["code"] == "forbidden"
