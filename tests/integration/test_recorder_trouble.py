"""The recorder while the history is away, refuses, or something else is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celeriac.errors import HistoryRefusedError, HistoryUnavailableError
from celeriac.events import Event, EventKind
from celeriac.history import History, RunFilter
from celeriac.lag import read_lag
from eventually import eventually
from recording import Recording, add, life


class _Moody:
    """A history that fails as it is told, and otherwise is the real one."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.away = True
        self.hates = ""
        self.error: Exception = HistoryRefusedError("cannot digest this")
        self.most = 1_000_000

    def apply(self, events: list[Event]) -> None:
        if self.away:
            raise HistoryUnavailableError("The disk is full.")
        if any(event.run_id == self.hates for event in events):
            raise self.error
        if len(events) > self.most:
            raise MemoryError
        self._history.apply(events)

    def prune(self, *_: Any) -> Iterator[None]:
        return iter(())


def test_events_wait_while_the_history_is_away(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    life(stream, "one")

    with Recording(redis_url, moody) as recorder:
        eventually(lambda: recorder.lag() == 3)
        assert history.get("one") is None
        moody.away = False

        assert eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)


def test_event_that_cannot_be_recorded_stops_no_other(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    moody.away, moody.hates = False, "bad"
    for name in ("one", "bad", "two"):
        life(stream, name)

    with Recording(redis_url, moody) as recorder:
        eventually(lambda: recorder.lag() == 0)

    assert history.get("one") and history.get("two") and not history.get("bad")
    assert (losses := read_lag(stream).losses) and losses.entries == 3


def test_event_that_is_refused_is_counted_once_however_often_the_batch_is_tried(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    moody.away, moody.hates = False, "bad"
    apply = moody.apply

    def fail_behind_it(events: list[Event]) -> None:
        if moody.most == 0 and events[0].run_id == "two":
            raise HistoryUnavailableError("The disk is full.")
        apply(events)

    moody.apply = fail_behind_it  # type: ignore[method-assign]
    moody.most = 0
    add(stream, "bad", EventKind.SUBMITTED, task="a")
    add(stream, "two", EventKind.SUBMITTED, task="a")
    with Recording(redis_url, moody) as recorder:
        eventually(lambda: read_lag(stream).problem)
        moody.most = 10
        eventually(lambda: recorder.lag() == 0)

    assert history.get("two")
    assert (losses := read_lag(stream).losses) and losses.entries == 1


def test_events_wait_while_the_recorder_itself_fails(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    moody.away, moody.hates, moody.error = False, "one", TypeError("a mistake of ours")
    life(stream, "one")

    with Recording(redis_url, moody) as recorder:
        lag = eventually(lambda: (found := read_lag(stream)).problem and found)
        assert lag.entries == 3 and lag.losses is None
        assert "the recorder fails (TypeError)" in lag.words
        moody.hates = ""

        eventually(lambda: recorder.lag() == 0)

    assert history.get("one") and read_lag(stream).losses is None


def test_batch_that_needs_too_much_memory_is_written_in_parts(
    redis_url: str, stream: Any, history: History
) -> None:
    moody = _Moody(history)
    moody.away, moody.most = False, 2
    life(stream, "one")
    life(stream, "two")

    with Recording(redis_url, moody) as recorder:
        eventually(lambda: recorder.lag() == 0)

    assert history.count(RunFilter(states=("SUCCESS",))).total == 2
    assert read_lag(stream).losses is None


def test_event_that_the_database_refuses_stops_no_other(
    redis_url: str, stream: Any, history: History
) -> None:
    _refuse_a_task(history, "poison")
    life(stream, "one")
    add(stream, "bad", EventKind.SUBMITTED, task="poison")
    life(stream, "two")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: recorder.lag() == 0)

    assert history.get("one") and history.get("two") and not history.get("bad")
    assert (losses := read_lag(stream).losses) and losses.entries == 1


def _refuse_a_task(history: History, task: str) -> None:
    """Have the database itself say no."""
    if history.database.dialect == "sqlite":
        refusal = (
            f"CREATE TRIGGER no_{task} BEFORE INSERT ON runs WHEN NEW.task = '{task}' "
            "BEGIN SELECT RAISE(ABORT, 'no such thing'); END"
        )
    else:
        refusal = f"ALTER TABLE runs ADD CONSTRAINT no_{task} CHECK (task <> '{task}')"
    with history.database.write() as connection:
        connection.exec_driver_sql(refusal)


def test_events_wait_while_another_file_is_in_the_historys_place(
    redis_url: str, stream: Any, tmp_path: Path
) -> None:
    file = tmp_path / "history.db"
    history = History(f"sqlite:///{file}")
    file.write_text("This is a letter to somebody, not a database. " * 100)
    life(stream, "one")

    with Recording(redis_url, history) as recorder:
        eventually(lambda: (problem := read_lag(stream).problem) and "not SQLite" in problem)
        history.close()
        file.unlink()
        history.migrate()
        eventually(lambda: history.get("one"))
        eventually(lambda: recorder.lag() == 0)
    history.close()
