"""Messages on a Redis broker that were taken and are not acknowledged, and who holds them.

kombu keeps all workers' in one hash and hands them out again after the visibility timeout, which
must be longer than the longest ETA. Here each start of a worker is a holder with a hash of its own,
and says all the while that it lives. What a holder had goes back to where it was taken from when
its successor, or any other worker, finds that it has fallen silent.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from kombu.utils.json import dumps

HASH, INDEX = "unacked", "unacked_index"
HOLDERS = "celeriac-holders"
"""A sorted set: each holder by when, on the server's clock, it last said that it lives."""
UNREADABLE = "celeriac-unreadable"
"""A list of what lay in a queue and is no message of Celery, the newest first."""
MOST_UNREADABLE = 1000

NOW = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
"""

TAKE = f"""
-- KEYS are the holder's messages and instants, all holders, the unreadable, and the lists; ARGV the
-- holder, how many messages at most and, for each list, how it is called without the prefix of this
-- transport's keys.
local most, taken = tonumber(ARGV[2]), {{}}

local function take(place, raw)
    local name = ARGV[place - 2]
    local is_json, message = pcall(cjson.decode, raw)
    local properties = is_json and type(message) == 'table' and message['properties']
    local tag = type(properties) == 'table' and properties['delivery_tag']
    -- First of the writes: with its memory full the server refuses to begin with another.
    redis.call('RPOP', KEYS[place])
    if type(tag) ~= 'string' then
        redis.call('LPUSH', KEYS[4], raw)
        redis.call('LTRIM', KEYS[4], 0, {MOST_UNREADABLE - 1})
        return {{name, raw}}
    end
    {NOW}
    -- In a script time stands still; the order tells what was taken first.
    redis.call('ZADD', KEYS[2], now + #taken / 1000000, tag)
    redis.call('HSET', KEYS[1], tag, '[' .. raw .. ', ' .. cjson.encode(name) .. ']')
    -- A holder with a message is known, so that somebody puts it back whatever happens.
    redis.call('ZADD', KEYS[3], now, ARGV[1])
    return {{name, raw, tag}}
end

for place = 5, #KEYS do
    while #taken < most do
        local raw = redis.call('LINDEX', KEYS[place], -1)
        if not raw then
            break
        end
        taken[#taken + 1] = take(place, raw)
    end
end
return taken
"""

SAY_ALIVE = f"{NOW} return redis.call('ZADD', KEYS[1], now, ARGV[1])"

PUT_BACK = """
-- Only while nothing has changed since somebody looked: a holder that spoke again keeps all.
if tonumber(redis.call('ZSCORE', KEYS[4], ARGV[3])) ~= tonumber(ARGV[4]) then
    return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
    return 0
end
return redis.call(ARGV[5], KEYS[3], ARGV[2]) and 1
"""

SET_ASIDE = f"""
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
    redis.call('LPUSH', KEYS[3], ARGV[2])
    redis.call('LTRIM', KEYS[3], 0, {MOST_UNREADABLE - 1})
end
"""

FORGET = """
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('ZREM', KEYS[1], ARGV[1])
end
"""

log = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A message that is not acknowledged: its tag, and when the server gave it away."""

    tag: str
    at_s: float


class Spoken(NamedTuple):
    """A holder, and when it last said that it lives, on the server's clock."""

    holder: str
    at_s: float


def holder_of(node: str) -> str:
    """Name a start of a worker so that no other start, of whatever node, has the same name."""
    return f"{node}/{uuid4().hex[:12]}"


def node_of(holder: str) -> str:
    """Give the worker's node name."""
    return holder.rpartition("/")[0]


def transport_options(holder: str) -> dict[str, str]:
    """Give kombu's options for the connections of this holder."""
    return {"unacked_key": f"{HASH}:{holder}", "unacked_index_key": f"{INDEX}:{holder}"}


def holder_from(unacked_key: str) -> str | None:
    """Give whose hash this is; None for the one that kombu's workers share."""
    return unacked_key.partition(":")[2] or None


class Unacked:
    """All that is not acknowledged in one Redis database; `prefix` is before each of its keys.

    Every method raises what redis-py raises when the server is away.
    """

    def __init__(self, client: Any, prefix: str = "") -> None:
        self._client = client
        self._prefix = prefix
        self._holders = prefix + HOLDERS

    def keys_of(self, holder: str) -> tuple[str, str]:
        """Give where a holder's messages and the instants of their taking are."""
        return f"{self._prefix}{HASH}:{holder}", f"{self._prefix}{INDEX}:{holder}"

    def say_alive(self, holder: str) -> None:
        """Keep the holder's messages from being given to others."""
        self._client.eval(SAY_ALIVE, 1, self._holders, holder)

    def forget(self, holder: str) -> None:
        """Expect no more signs of life from a holder, unless it still has messages."""
        messages, _ = self.keys_of(holder)
        self._client.eval(FORGET, 2, self._holders, messages, holder)

    def holders(self) -> list[Spoken]:
        """Give all holders."""
        found = self._client.zrange(self._holders, 0, -1, withscores=True)
        return [Spoken(name.decode(), at_s) for name, at_s in found]

    def held_since(self, holder: str, least_s: float) -> list[Taken]:
        """Give what the holder has had for at least so long."""
        _, instants = self.keys_of(holder)
        seconds, microseconds = self._client.time()
        latest_s = seconds + microseconds / 1e6 - least_s
        found = self._client.zrange(instants, "-inf", latest_s, byscore=True, withscores=True)
        return [Taken(tag.decode(), at_s) for tag, at_s in found]

    def acknowledge(self, holder: str, tags: Sequence[str]) -> None:
        """Forget messages for good."""
        messages, instants = self.keys_of(holder)
        with self._client.pipeline() as pipe:
            pipe.zrem(instants, *tags).hdel(messages, *tags)
            pipe.execute()

    def put_back(self, holder: str, taken: Iterable[Taken], *, as_last: bool = False) -> int:
        """Move messages back to where they will be taken first, or last; gives how many went.

        A message that was acknowledged, put back or taken anew meanwhile stays as it is.
        """
        _, instants = self.keys_of(holder)
        return self._moved(holder, [(one.tag, instants, *one) for one in taken], as_last)

    def take_from(self, silent: Spoken) -> int:
        """Put back all that a holder has, unless it speaks meanwhile; gives how many went."""
        found = self.held_since(silent.holder, 0)
        return self._moved(silent.holder, [(one.tag, self._holders, *silent) for one in found])

    def set_aside(self, holder: str, tag: str, raw: bytes | str) -> None:
        """Move what nobody can read out of the way, for a person to look at."""
        unreadable = self._prefix + UNREADABLE
        self._client.eval(SET_ASIDE, 3, *self.keys_of(holder), unreadable, tag, raw)

    def _moved(
        self, holder: str, wanted: list[tuple[str, str, str, float]], as_last: bool = False
    ) -> int:
        """Move each tag while, in the sorted set beside it, the member has still that score."""
        if not wanted:
            return 0
        keys = self.keys_of(holder)
        entries = self._client.hmget(keys[0], [tag for tag, *_ in wanted])
        with self._client.pipeline(transaction=False) as pipe:
            found = list(zip(wanted, entries, strict=True))
            # What was taken first will be taken first.
            for (tag, clock, member, at_s), entry in found if as_last else reversed(found):
                if entry is None:
                    continue  # Another has put it back.
                try:
                    raw, place = _again(entry)
                except (ValueError, TypeError, LookupError):
                    self.set_aside(holder, tag, entry)
                    continue
                push = "LPUSH" if as_last else "RPUSH"
                more = (tag, raw, member, repr(at_s), push)
                pipe.eval(PUT_BACK, 4, *keys, self._prefix + place, clock, *more)
            return sum(pipe.execute())


def _again(entry: bytes) -> tuple[str, str]:
    """Give a message, marked as one that was delivered before, and the list that it came from."""
    # An entry of kombu's own ends in the routing key, most often the name of the queue.
    payload, *_, place = json.loads(entry)
    headers = payload.get("headers")
    if isinstance(headers, dict):
        headers["redelivered"] = True
    payload["properties"]["delivery_info"]["redelivered"] = True
    return dumps(payload), place
