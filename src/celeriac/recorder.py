"""The recorder: moves events from the stream into the history, each once in effect.

It reads through a consumer group, so what it had taken when it died is read again at its next
start; the history knows what it has seen. Entries are acknowledged, and the stream is trimmed,
only after the history has them. While the history cannot be written, events wait in Redis.
"""

import logging
import math
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from typing import Any

import redis
from redis.exceptions import ResponseError

from celeriac.errors import TransientError
from celeriac.events import STREAM, Event
from celeriac.history import History
from celeriac.settings import Settings

GROUP = "recorder"
BATCH = 1000
BLOCK_MS = 1000
RETRY_S = 1.0
PRUNE_EVERY_S = 60.0
KEEP_MS = 10 * 60 * 1000
"""How long entries stay after they were recorded, for viewers who come back."""

Entry = tuple[bytes, Mapping[bytes, bytes] | None]

log = logging.getLogger(__name__)


class Recorder:
    """Records until it is told to stop."""

    def __init__(
        self, redis_url: str, history: History, *, keep: timedelta, name: str = GROUP
    ) -> None:
        self._redis: Any = redis.Redis.from_url(redis_url.replace("redis+socket://", "unix://"))
        self._history = history
        self._keep = keep
        self._name = name
        self._pruned_s = -math.inf

    def run(self, stop: Flag) -> None:
        """Record what was left over, then what comes, until `stop` is set."""
        position = "0"  # First what an earlier recorder had taken and not acknowledged.
        while not stop.is_set():
            try:
                entries = self._read(position)
                self._record(entries, stop)
            except (redis.RedisError, OSError) as error:
                log.warning("Redis is away (%s); what happens meanwhile waits there.", error)
                stop.wait(RETRY_S)
                continue
            if not entries:
                position = ">"
                self._prune()

    def lag(self) -> int:
        """Give how many entries wait to be recorded."""
        groups = self._redis.xinfo_groups(STREAM)
        found = next(group for group in groups if group["name"] == GROUP.encode())
        return int(found["pending"]) + int(found["lag"] or 0)

    def _prune(self) -> None:
        """Once in a while, with nothing else to do, remove a batch of runs that are too old."""
        if time.monotonic() - self._pruned_s < PRUNE_EVERY_S:
            return
        try:
            next(self._history.prune(older_than=datetime.now(UTC) - self._keep), None)
        except TransientError as error:
            log.warning("Old runs cannot be removed for now: %s", error)
        self._pruned_s = time.monotonic()

    def _read(self, position: str) -> list[Entry]:
        try:
            found = self._redis.xreadgroup(
                GROUP, self._name, {STREAM: position}, count=BATCH, block=BLOCK_MS
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            return self._read(position)
        return found[0][1] if found else []

    def _record(self, entries: Sequence[Entry], stop: Flag) -> None:
        events = [event for entry in entries if (event := _event(entry))]
        while events and not self._applied(events):
            if stop.wait(RETRY_S):
                return
        if entries:
            self._acknowledge([entry[0] for entry in entries])

    def _applied(self, events: Sequence[Event]) -> bool:
        """Write events to the history; tells whether they need no further attempt."""
        try:
            self._history.apply(events)
        except TransientError as error:
            log.warning("The history cannot be written for now: %s", error)
            return False
        except Exception:
            if len(events) == 1:
                log.exception("Event %s cannot be recorded and is left out", events[0].id)
                return True
            half = len(events) // 2
            return self._applied(events[:half]) and self._applied(events[half:])
        return True

    def _acknowledge(self, ids: Sequence[bytes]) -> None:
        newest_ms = int(ids[-1].split(b"-")[0])
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xack(STREAM, GROUP, *ids)
            pipe.xtrim(STREAM, minid=max(0, newest_ms - KEEP_MS), approximate=True)
            pipe.execute()


def _event(entry: Entry) -> Event | None:
    entry_id, fields = entry
    if not fields:  # Trimmed away while it was pending.
        return None
    try:
        return Event.of_entry(
            entry_id.decode(), {name.decode(): text.decode() for name, text in fields.items()}
        )
    except (ValueError, RecursionError):
        log.warning("Skipped an entry of %s that is no event: %s", STREAM, entry_id)
        return None


def run_recorder(settings: Settings) -> None:
    """Record until SIGTERM or SIGINT, and remove runs that are older than the settings say.

    Raises:
        ConfigurationError: an address is missing or wrong.
    """
    _, redis_url = settings.require_urls()
    history = History(settings.history_address)
    history.migrate()
    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print("The recorder is ready.", flush=True)
    try:
        Recorder(redis_url, history, keep=timedelta(days=settings.history_days)).run(stop)
    finally:
        history.close()
