"""No entry of the audit trail gets lost silently: it is in the trail, or in the log, once."""

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from celeriac.access import AuditTrail, Entry
from celeriac.access import audit_writer as module
from celeriac.access.audit_writer import AuditWriter
from celeriac.errors import HistoryUnavailableError
from eventually import eventually


class _Trail:
    """A trail whose database comes and goes."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.tried = 0
        self.trouble: Exception | None = None
        self.poison = ""
        self.open = threading.Event()
        self.open.set()

    def record(self, entries: Iterable[Entry]) -> None:
        self.open.wait(30)
        self.tried += 1
        if self.trouble:
            raise self.trouble
        targets = [entry.target for entry in entries]
        if self.poison in targets:
            raise ValueError("nothing that a database takes")
        self.kept += targets


@pytest.fixture
def trail() -> _Trail:
    return _Trail()


@pytest.fixture
def writer(trail: _Trail) -> Iterator[AuditWriter]:
    writer = AuditWriter(cast(AuditTrail, trail), again_after_s=0.01)
    yield writer
    trail.trouble = None
    trail.open.set()
    writer.close()


def _add(writer: AuditWriter, numbers: Iterable[int]) -> None:
    for number in numbers:
        writer.add(Entry("ada", "token", "run.cancel", f"r{number}"))


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = (re.search(r'"target": "(\w+)"', each.getMessage()) for each in caplog.records)
    return [each[1] for each in found if each]


def _names(numbers: Iterable[int]) -> list[str]:
    return [f"r{number}" for number in numbers]


def test_each_entry_is_logged_once_while_the_database_is_away_and_kept_when_it_is_back(
    trail: _Trail, writer: AuditWriter, caplog: pytest.LogCaptureFixture
) -> None:
    trail.trouble = HistoryUnavailableError("away")
    trail.open.clear()
    _add(writer, range(600))
    trail.open.set()
    eventually(lambda: trail.tried > 3, deadline_s=10)
    _add(writer, range(600, 1200))
    eventually(lambda: trail.tried > 9, deadline_s=10)
    assert not writer.flush(timeout_s=0)

    assert sorted(_logged(caplog)) == sorted(_names(range(1200)))

    trail.trouble = None
    assert writer.flush(timeout_s=60)
    _add(writer, [1200])
    assert writer.flush(timeout_s=60)
    assert trail.kept == _names(range(1201))
    assert len(_logged(caplog)) == 1200


def test_entry_that_nobody_has_room_for_is_logged(
    trail: _Trail,
    writer: AuditWriter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 20)
    trail.open.clear()
    _add(writer, range(30))
    trail.open.set()
    assert writer.flush(timeout_s=60)

    assert (trail.kept, _logged(caplog)) == (_names(range(20)), _names(range(20, 30)))


def test_what_is_not_written_at_the_end_is_in_the_log(
    trail: _Trail,
    writer: AuditWriter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.05)
    trail.open.clear()
    _add(writer, range(700))

    writer.close()
    _add(writer, [700])

    assert _logged(caplog) == _names(range(701))


def test_error_of_any_kind_costs_the_one_entry_that_causes_it(
    trail: _Trail, writer: AuditWriter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    trail.poison = "r7"
    trail.open.clear()
    _add(writer, range(20))
    trail.open.set()
    assert writer.flush(timeout_s=60)
    _add(writer, [20])
    assert writer.flush(timeout_s=60)

    assert trail.kept == [each for each in _names(range(21)) if each != "r7"]
    assert _logged(caplog) == ["r7"]


def test_entry_of_any_content_is_logged(
    trail: _Trail, writer: AuditWriter, caplog: pytest.LogCaptureFixture
) -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    trail.poison = "r1"

    writer.add(Entry("ada", "token", "run.cancel", "r1", detail={"foreign": deep}))
    assert writer.flush(timeout_s=60)

    assert "run.cancel" in caplog.text and "r1" in caplog.text
