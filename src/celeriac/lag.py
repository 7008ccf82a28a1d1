"""How far the history is behind what happens: what waits in the stream, and who records it.

The recorder leaves a sign of life in the key `celeriac-recorder`, a JSON object that expires: it
tells whether one runs, and what keeps it from recording. All ages are reckoned by Redis' own clock,
which also made the identifiers of the entries, so a host whose clock is wrong misleads nobody.

Whoever asks has a client of its own; when Redis does not answer, its `redis.RedisError` leaves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from celeriac.events import STREAM
from celeriac.losses import Losses, read_losses

GROUP = "recorder"
SIGN_OF_LIFE = "celeriac-recorder"
SIGN_LASTS_S = 10
MOST_COUNTED = 1_000
"""How far entries are counted one by one where Redis cannot tell their number."""
NOTEWORTHY_S = 10.0
"""An entry waits some milliseconds as a rule; from here on, people should know."""


@dataclass(frozen=True)
class RecorderLag:
    """What waits to be recorded.

    `waiting_s` is the age of the oldest entry that waits, `last_recorded_at` the instant at which
    Redis took the newest one that was recorded, None where the stream no longer tells. `problem`
    says why a recorder that runs cannot record. More than `entries` may wait unless `is_exact`.
    """

    entries: int
    waiting_s: float
    last_recorded_at: datetime | None
    is_running: bool
    problem: str | None = None
    losses: Losses | None = None
    is_exact: bool = True

    @property
    def is_noteworthy(self) -> bool:
        """Tell whether what the history says is not what people may take it for."""
        return self.is_behind or self.losses is not None

    @property
    def is_behind(self) -> bool:
        """Tell whether the history still lacks what it will have."""
        return self.problem is not None or self.waiting_s >= NOTEWORTHY_S or self._is_abandoned

    @property
    def words(self) -> str:
        """Say in a sentence how far the recorder is."""
        lost = f" {self.losses.words}" if self.losses else ""
        if self.problem:
            return f"The history is not written: {self.problem}{lost}"
        if not self.is_running:
            return "No recorder runs; start one with `celeriac recorder`." + self._behind() + lost
        return "The recorder runs." + self._behind() + lost

    @property
    def _is_abandoned(self) -> bool:
        return self.entries > 0 and not self.is_running

    def _behind(self) -> str:
        if not self.entries:
            return " Nothing waits to be recorded."
        are = "event waits" if self.entries == 1 else "events wait"
        count = f"{self.entries:,}" if self.is_exact else f"At least {self.entries:,}"
        return f" {count} {are} to be recorded, the oldest for {self.waiting_s:,.0f} s."


def show_life(client: Any, problem: str | None = None) -> None:
    """Tell that a recorder runs, and what keeps it from recording, if anything does."""
    client.set(SIGN_OF_LIFE, json.dumps({"problem": problem}), ex=SIGN_LASTS_S)


def read_lag(client: Any) -> RecorderLag:
    """Ask Redis how far the recorder is; takes three short exchanges."""
    with client.pipeline(transaction=False) as pipe:
        pipe.xinfo_groups(STREAM)
        pipe.xpending(STREAM, GROUP)
        pipe.time()
        pipe.get(SIGN_OF_LIFE)
        groups, pending, now, sign = _answers(pipe)
    group = _group(groups)
    taken_id = group["last-delivered-id"].decode() if group else "0-0"
    first_id = pending["min"].decode() if group and pending["pending"] else None
    waiting, recorded = _neighbours(client, taken_id, first_id)
    entries, is_exact = _entries(client, group, taken_id)
    now_ms = now[0] * 1000 + now[1] // 1000
    return RecorderLag(
        entries=entries,
        waiting_s=max(0, now_ms - _ms(waiting)) / 1000 if waiting and entries else 0.0,
        last_recorded_at=datetime.fromtimestamp(_ms(recorded) / 1000, UTC) if recorded else None,
        is_running=bool(sign),
        problem=json.loads(sign).get("problem") if sign else None,
        losses=read_losses(client),
        is_exact=is_exact,
    )


def backlog(client: Any) -> int:
    """Count what waits, in one short exchange; all entries count where Redis cannot tell."""
    with client.pipeline(transaction=False) as pipe:
        pipe.xinfo_groups(STREAM)
        pipe.xlen(STREAM)
        groups, length = _answers(pipe)
    waiting = unrecorded(_group(groups))
    return int(length) if waiting is None else waiting


def unrecorded(group: Mapping[str, Any] | None) -> int | None:
    """Give what waits by what Redis tells of the recorder's group; None where it cannot tell."""
    if group is None or group.get("lag") is None:
        return None
    return int(group["pending"]) + int(group["lag"])


def unrecorded_from(client: Any) -> str:
    """Give where in the stream that begins which is not recorded, as the start of a range."""
    with client.pipeline(transaction=False) as pipe:
        pipe.xinfo_groups(STREAM)
        pipe.xpending(STREAM, GROUP)
        groups, pending = _answers(pipe)
    group = _group(groups)
    if group is None:
        return "-"
    if pending["pending"]:
        return str(pending["min"].decode())
    return f"({group['last-delivered-id'].decode()}"


def _answers(pipe: Any) -> list[Any]:
    """Give all answers, those among them by which Redis refuses: nothing may be there yet."""
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer
    return answers


def _group(groups: Any) -> dict[str, Any] | None:
    """Find the recorder's group; the stream itself is not there before the first event."""
    if isinstance(groups, ResponseError):
        return None
    return next((group for group in groups if group["name"] == GROUP.encode()), None)


def _neighbours(client: Any, taken_id: str, first_id: str | None) -> tuple[str | None, str | None]:
    """Give the oldest entry that waits, and the newest that was recorded."""
    end = f"({first_id}" if first_id else taken_id
    with client.pipeline(transaction=False) as pipe:
        pipe.xrange(STREAM, f"({taken_id}", count=1)
        pipe.xrevrange(STREAM, end, count=1)
        untaken, recorded = pipe.execute()
    waiting = first_id or (untaken[0][0].decode() if untaken else None)
    return waiting, recorded[0][0].decode() if recorded else None


def _entries(client: Any, group: dict[str, Any] | None, taken_id: str) -> tuple[int, bool]:
    """Count what waits; where Redis does not know, one by one and only so far.

    Tells too whether that is all of it.
    """
    if group is None:
        return int(client.xlen(STREAM)), True
    waiting = unrecorded(group)
    if waiting is not None:
        return waiting, True
    untaken = client.eval(_COUNT, 1, STREAM, f"({taken_id}", MOST_COUNTED)
    return int(group["pending"]) + untaken, untaken < MOST_COUNTED


# Counted where the entries are: what they hold may be many megabytes.
_COUNT = """
local from, count = ARGV[1], 0
repeat
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 100)
  count = count + #page
  from = #page > 0 and '(' .. page[#page][1]
until #page < 100 or count >= tonumber(ARGV[2])
return count
"""


def _ms(entry_id: str) -> int:
    return int(entry_id.split("-")[0])
