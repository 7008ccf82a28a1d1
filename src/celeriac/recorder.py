"""The recorder: moves events from the stream into the history, each once in effect.

It reads through a consumer group, so what it had taken when it died is read again at its next
start; the history knows what it has seen. Entries are acknowledged, and the stream is trimmed,
only after the history has them. While the history cannot be written, whatever the reason, events
wait in Redis. Those that the database refuses for their values are left out, and counted.
"""

import logging
import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event as Flag

import redis
from redis.exceptions import ResponseError

from celeriac.errors import (
    CeleriacError,
    ConfigurationError,
    HistoryRefusedError,
    TransientError,
)
from celeriac.events import STREAM, Event
from celeriac.history import History, PruneProgress
from celeriac.lag import GROUP, SIGN_LASTS_S, read_lag, show_life, unrecorded
from celeriac.losses import account, removed, removed_unread
from celeriac.redis_client import connect
from celeriac.settings import Settings
from celeriac.start_wait import wait_for, wait_for_redis

BATCH = 1000
AT_ONCE_BYTES = 16 * 1024 * 1024
"""How much is recorded at once: that takes several times as much memory."""
BLOCK_MS = 1000
RETRY_S = 1.0
SHOW_LIFE_EVERY_S = SIGN_LASTS_S / 4
PRUNE_EVERY_S = 60.0
ANSWER_WITHIN_S = 10.0
KEEP_MS = 10 * 60 * 1000
"""How long entries stay after they were recorded, for viewers who come back."""
KEEP_RECORDED = 100_000
"""How many of them stay at most: they take room from what is not recorded yet."""

ATTEMPTS_WITH_LINES = 5
"""Of a run that is tried more often, and logs all it may, the lines of the newest attempts stay."""

Entry = tuple[bytes, Mapping[bytes, bytes] | None]

log = logging.getLogger(__name__)


class Recorder:
    """Records until it is told to stop."""

    def __init__(
        self,
        redis_url: str,
        history: History,
        *,
        keep: timedelta,
        keep_runs: int | None = None,
        name: str = GROUP,
    ) -> None:
        # Asking again by itself would leave behind what an answer that was lost had given us.
        self._redis = connect(redis_url, timeout_s=ANSWER_WITHIN_S, tries=1)
        self._history = history
        self._keep = keep
        self._keep_runs = keep_runs
        self._name = name
        self._pruning: Iterator[PruneProgress] | None = None
        self._pruned_s = -math.inf
        self._shown_s = -math.inf
        self._problem: str | None = None

    def run(self, stop: Flag) -> None:
        """Record what was left over, then what comes, until `stop` is set."""
        position = "0"  # First what an earlier recorder had taken and not acknowledged.
        while not stop.is_set():
            try:
                self._show_life()
                entries = self._read(position)
                for some in _portions(entries):
                    self._record(some, stop)
            except (redis.RedisError, OSError) as error:
                log.warning("Redis is away (%s); what happens meanwhile waits there.", error)
                stop.wait(RETRY_S)
                position = "0"  # It may have given us entries whose way here was cut.
                continue
            if not entries:
                position = ">"
            self._prune()

    def lag(self) -> int:
        """Give how many entries wait to be recorded."""
        return read_lag(self._redis).entries

    def _show_life(self) -> None:
        """Leave a sign of life often enough, and at once when something has gone wrong or right."""
        if time.monotonic() - self._shown_s > SHOW_LIFE_EVERY_S:
            show_life(self._redis, self._problem)
            self._shown_s = time.monotonic()

    def _prune(self) -> None:
        """Remove one batch of runs that are too old or too many; once there is none, rest a while.

        One batch after each batch of events keeps pace with whatever comes, and delays it little.
        """
        if self._pruning is None:
            if time.monotonic() - self._pruned_s < PRUNE_EVERY_S:
                return
            older_than = datetime.now(UTC) - self._keep
            self._pruning = self._history.prune(older_than, self._keep_runs)
        try:
            if next(self._pruning, None) is not None:
                return
        except CeleriacError as error:
            log.warning("Old runs cannot be removed for now: %s", error)
        self._pruning, self._pruned_s = None, time.monotonic()

    def _read(self, position: str) -> list[Entry]:
        try:
            if position == ">":
                self._account(removed_unread(self._redis, GROUP))
            found = self._redis.xreadgroup(
                GROUP, self._name, {STREAM: position}, count=BATCH, block=BLOCK_MS
            )
        except ResponseError as error:
            if not _means_no_group(error):
                raise
            self._make_group()
            return self._read(position)
        return found[0][1] if found else []

    def _make_group(self) -> None:
        """Make the group anew; what it finds already removed counts as recorded."""
        self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        gone = removed(self._redis.xinfo_stream(STREAM))
        self._redis.xgroup_setid(STREAM, GROUP, "0", gone)

    def _account(self, lost: int) -> None:
        """Tell of events that the history will never have."""
        if lost:
            log.error("%d events were lost before the history had them.", lost)
            account(self._redis, lost)

    def _record(self, entries: Sequence[Entry], stop: Flag) -> None:
        events = [event for entry in entries if (event := _event(entry))]
        refused: set[str | None] = set()
        while events and not self._applied(events, refused):
            self._show_life()
            if stop.wait(RETRY_S):
                return
        self._tell(None)
        if entries:
            self._account(len(entries) - len(events) + len(refused))
            self._acknowledge([entry[0] for entry in entries])

    def _tell(self, problem: str | None) -> None:
        """Let the next sign of life say what is wrong, without delay where that is news."""
        if problem != self._problem:
            self._problem = problem
            self._shown_s = -math.inf

    def _applied(self, events: Sequence[Event], refused: set[str | None]) -> bool:
        """Write events to the history; tells whether they need no further attempt.

        Events that the database never takes are added to `refused`.
        """
        try:
            self._history.apply(events)
        except (TransientError, ConfigurationError) as error:
            # The latter where somebody has put another file in its place, which can be mended.
            log.warning("The history cannot be written for now: %s", error)
            self._tell(str(error))
            return False
        except (HistoryRefusedError, MemoryError) as error:
            return self._applied_in_halves(events, refused, error)
        except Exception as error:  # A mistake of ours can be mended; what is left out is lost.
            self._admit(error)
            return False
        return True

    def _applied_in_halves(
        self, events: Sequence[Event], refused: set[str | None], error: Exception
    ) -> bool:
        if len(events) > 1:
            half = len(events) // 2
            return self._applied(events[:half], refused) and self._applied(events[half:], refused)
        if isinstance(error, MemoryError):
            self._admit(error)
            return False
        log.error("The history refuses event %s, which is left out: %s", events[0].id, error)
        refused.add(events[0].id)
        return True

    def _admit(self, error: Exception) -> None:
        """Say that the recorder itself fails, and why, once for the same reason."""
        problem = f"the recorder fails ({type(error).__name__}); its log says where. Events wait."
        if problem != self._problem:
            log.error("Events cannot be recorded, and wait.", exc_info=error)
        self._tell(problem)

    def _acknowledge(self, ids: Sequence[bytes]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xack(STREAM, GROUP, *ids)
            pipe.xpending(STREAM, GROUP)
            pipe.xinfo_groups(STREAM)
            _, pending, groups = pipe.execute()
        # Another recorder may be at work on older ones.
        oldest_ms = min(map(_ms, filter(None, (ids[-1], pending["min"]))))
        self._redis.xtrim(STREAM, minid=max(0, oldest_ms - KEEP_MS), approximate=True)
        waiting = unrecorded(next(each for each in groups if each["name"] == GROUP.encode()))
        if waiting is not None:
            self._redis.xtrim(STREAM, maxlen=waiting + KEEP_RECORDED, approximate=True)


def _portions(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Give the entries in parts; each ends where it has enough bytes, the last with the entries."""
    first, size_bytes = 0, 0
    for place, (_, fields) in enumerate(entries):
        size_bytes += sum(map(len, fields.values())) if fields else 0
        if size_bytes >= AT_ONCE_BYTES:
            yield entries[first : place + 1]
            first, size_bytes = place + 1, 0
    yield entries[first:]


def _ms(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0])


def _means_no_group(error: ResponseError) -> bool:
    """Tell whether stream or group are missing: never made, or deleted with all of Redis."""
    return any(sign in str(error) for sign in ("NOGROUP", "no such key", "UNBLOCKED"))


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


def _stop(stop: Flag, *_: object) -> None:
    """Record what was read, then end; a second signal ends at once what hangs.

    What was not recorded then is read again by the next recorder.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    stop.set()


def run_recorder(settings: Settings) -> None:
    """Record until SIGTERM or SIGINT, and remove runs that are older or more than the settings say.

    Raises:
        ConfigurationError: an address is missing or wrong.
        ResultsUnavailableError, HistoryUnavailableError: Redis or the history's database did not
            answer for `start_wait_s`.
    """
    _, redis_url = settings.require_urls()
    lines_kept = ATTEMPTS_WITH_LINES * (settings.log_lines + 1)  # One tells what is left out.
    history = History(settings.history_address, log_lines_kept=lines_kept)
    wait_for_redis(redis_url, "recorder", settings.start_wait_s)
    wait_for(history.migrate, "recorder", settings.start_wait_s)
    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, partial(_stop, stop))
    print("The recorder is ready.", flush=True)
    try:
        keep, keep_runs = timedelta(days=settings.history_days), settings.history_runs
        Recorder(redis_url, history, keep=keep, keep_runs=keep_runs).run(stop)
    finally:
        history.close()
