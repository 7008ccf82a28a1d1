"""How much of what it has read the recorder records at once."""

import pytest

from celeriac import recorder
from celeriac.recorder import Entry, _portions


def _entry(size_bytes: int) -> Entry:
    return b"1-1", {b"data": b"x" * size_bytes}


def test_large_events_are_recorded_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "AT_ONCE_BYTES", 10)
    removed: Entry = (b"1-1", None)
    entries = [_entry(4), removed, _entry(7), _entry(50), _entry(1), _entry(1)]

    assert [*_portions(entries)] == [entries[:3], entries[3:4], entries[4:]]


def test_small_events_are_recorded_all_at_once() -> None:
    entries = [_entry(100)] * 1000

    assert [*_portions(entries)] == [entries]
