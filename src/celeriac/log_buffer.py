"""Lines that runs log, on their way from one process to the stream: bounded, in order, in the back.

A line waits here for a fraction of a second until a thread writes it with its neighbours; the lines
of an attempt that ends go with what tells of the end, in one exchange. So what a run logged stands
before its end, and logging costs a task no round trip. While Redis is away, lines wait, as many as
there is room for; then the oldest go. Each attempt is told how many were left out, and why.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from weakref import WeakKeyDictionary

from celeriac.events import Event, EventKind
from celeriac.replays import attempt_of

PAUSE_S = 0.2
"""How long lines are gathered before they are written together."""
RETRY_S = 1.0
LONGEST_WAIT_S = 2.0
"""How long the end of a run waits for lines of it that are being written at that moment."""
BATCH = 500
MOST_LINES = 2_000
MOST_CHARACTERS = 4_000_000
"""What may wait in one process."""

Write = Callable[[Sequence[Event]], None]


class Reason(StrEnum):
    """Why lines are missing, in the words of the note that tells of them."""

    TOO_MANY = "were left out; {most_lines:,} are kept of an attempt."
    SLOW = "were left out; Redis was away or too slow."
    NO_ROOM = "were left out; the recorder is behind, and events of runs go before lines."
    UNSURE = "may be missing; Redis gave no answer in time when the attempt ended."


@dataclass(eq=False)
class Tally:
    """How much one attempt has logged."""

    run_id: str
    place: dict[str, Any]
    lines: int = 0
    missing: Counter[Reason] = field(default_factory=Counter)
    has_ended: bool = False


class LogBuffer:
    """The lines of one process; forked children begin with an empty one.

    `write` adds lines to the stream and raises when it cannot; `has_room` tells whether the stream
    is short enough for lines: they must not push out the events of runs.
    """

    def __init__(self, write: Write, has_room: Callable[[], bool], most_lines: int) -> None:
        self._write = write
        self._ask_for_room = has_room
        self._most_lines = most_lines
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        # A signal's handler may log while a line is being added.
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._waiting = threading.Event()
        self._lines: deque[tuple[Tally, Event]] = deque()
        self._in_flight: Sequence[tuple[Tally, Event]] = ()
        self._size = 0
        self._has_room = True
        self._thread: threading.Thread | None = None
        self._tallies: WeakKeyDictionary[Any, Tally] = WeakKeyDictionary()

    def add(self, request: Any, line: Callable[[], tuple[datetime, dict[str, Any]]]) -> None:
        """Take a line of the run that `request` executes; what is too much is only counted.

        `line` gives the instant and the data, and is not called for a line that is left out.
        """
        if self._pid != os.getpid():
            self._begin()
        tally = self._tally(request)
        if tally.lines >= self._most_lines or not self._has_room:
            is_full = tally.lines >= self._most_lines
            tally.missing[Reason.TOO_MANY if is_full else Reason.NO_ROOM] += 1
            self._waiting.set()
            return
        at, data = line()
        event = Event(tally.run_id, EventKind.LOG, at, data | tally.place)
        with self._lock:
            tally.lines += 1
            self._put([(tally, event)])
        self._waiting.set()
        if self._thread is None:
            self._start()

    def ending(self, request: Any) -> list[Event]:
        """Give the lines of an attempt that are not written yet, since it ends now; forget it.

        Where lines were left out, the last one tells how many, and why.
        """
        if self._pid != os.getpid() or (tally := self._tallies.pop(request, None)) is None:
            return []
        # Lines that are being written must come before those that are written by the caller.
        waited = self._writing.acquire(timeout=LONGEST_WAIT_S)
        try:
            found = self._pick(tally)
        finally:
            if waited:
                self._writing.release()
        return [*found, *_note(tally, self._most_lines)]

    def drain(self, patience_s: float) -> None:
        """Let the thread write what waits, since the process ends."""
        give_up_at = time.monotonic() + patience_s
        while self._lines and time.monotonic() < give_up_at:
            time.sleep(PAUSE_S / 10)
        if self._writing.acquire(timeout=max(0.0, give_up_at - time.monotonic())):
            self._writing.release()

    def flush(self) -> bool:
        """Write all that waits; tells whether nothing is left."""
        with self._writing:
            while batch := self._take():
                try:
                    self._write([event for _, event in batch])
                except Exception:  # Whatever it is: the thread must live, and the lines may wait.
                    self._put_back(batch)
                    return False
                self._in_flight = ()
        return True

    def _tally(self, request: Any) -> Tally:
        with self._lock:
            tally = self._tallies.get(request)
            if tally is None:
                place = {"worker": request.hostname, "attempt": attempt_of(request)}
                tally = self._tallies[request] = Tally(request.id, place)
            return tally

    def _put(self, lines: Iterable[tuple[Tally, Event]]) -> None:
        for tally, event in lines:
            self._lines.append((tally, event))
            self._size += len(event.data["text"])
        while len(self._lines) > MOST_LINES or self._size > MOST_CHARACTERS:
            tally, event = self._lines.popleft()
            self._size -= len(event.data["text"])
            tally.missing[Reason.SLOW] += 1

    def _take(self) -> list[tuple[Tally, Event]]:
        with self._lock:
            batch = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
            self._size -= sum(len(event.data["text"]) for _, event in batch)
            self._in_flight = batch
            return batch

    def _put_back(self, batch: Sequence[tuple[Tally, Event]]) -> None:
        with self._lock:
            self._in_flight = ()
            # Nothing of an attempt may follow its end.
            older = [each for each in batch if not each[0].has_ended]
            newer = list(self._lines)
            self._lines.clear()
            self._size = 0
            self._put([*older, *newer])

    def _pick(self, tally: Tally) -> list[Event]:
        with self._lock:
            tally.has_ended = True
            tally.missing[Reason.UNSURE] += sum(owner is tally for owner, _ in self._in_flight)
            found = [event for owner, event in self._lines if owner is tally]
            if found:
                others = [each for each in self._lines if each[0] is not tally]
                self._lines.clear()
                self._size = 0
                self._put(others)
            return found

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="celeriac-log-lines", daemon=True
                )
                self._thread.start()

    def _serve(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(PAUSE_S)
            self._waiting.clear()
            if not (self._look_for_room() and self.flush()):
                time.sleep(RETRY_S)
                self._waiting.set()

    def _look_for_room(self) -> bool:
        """Ask how long the stream is; lines that have no room there are left out."""
        try:
            self._has_room = self._ask_for_room()
        except Exception:  # Redis is away: the lines wait.
            return False
        while not self._has_room and (batch := self._take()):
            self._in_flight = ()
            for tally, _ in batch:
                tally.missing[Reason.NO_ROOM] += 1
        return True


def _note(tally: Tally, most_lines: int) -> list[Event]:
    reasons = [reason for reason in Reason if tally.missing[reason]]
    if not reasons:
        return []
    text = " ".join(_sentence(reason, tally.missing[reason], most_lines) for reason in reasons)
    data = {"level": "WARNING", "logger": "celeriac", "text": text}
    return [Event(tally.run_id, EventKind.LOG, datetime.now(UTC), data | tally.place)]


def _sentence(reason: Reason, count: int, most_lines: int) -> str:
    lines = "line" if count == 1 else "lines"
    words = reason.format(most_lines=most_lines)
    return f"{count:,} more {lines} {words.replace('were', 'was', 1) if count == 1 else words}"
