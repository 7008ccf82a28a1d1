"""A recorder in a thread, and the lives of runs that it records."""

from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from threading import Thread
from typing import Any

from celeriac.events import STREAM, Event, EventKind
from celeriac.recorder import Recorder

NOW = datetime.now(UTC)
QUARTER = timedelta(days=90)


def add(stream: Any, run_id: str, kind: EventKind, second: int = 0, **data: Any) -> bytes:
    """Add an event of this second to the stream; gives its place."""
    event = Event(run_id, kind, NOW + timedelta(seconds=second), data)
    entry_id: bytes = stream.xadd(STREAM, event.fields())
    return entry_id


def life(stream: Any, run_id: str) -> None:
    """Add what happens to a run that succeeds."""
    add(stream, run_id, EventKind.SUBMITTED, 0, task="a", args={"n": 1}, queue="q")
    add(stream, run_id, EventKind.STARTED, 1, task="a", attempt=1, worker="w")
    add(stream, run_id, EventKind.SUCCEEDED, 2, task="a", attempt=1, worker="w", result=7)


class Recording:
    """A recorder in a thread, for the length of a block."""

    def __init__(
        self, redis_url: str, history: Any, *, keep: timedelta = QUARTER, runs: int | None = None
    ) -> None:
        self.recorder = Recorder(redis_url, history, keep=keep, keep_runs=runs)
        self._stop = Flag()
        self._thread = Thread(target=self.recorder.run, args=(self._stop,))

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self.recorder

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
