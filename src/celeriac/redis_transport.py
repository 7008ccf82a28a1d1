"""kombu's Redis transport, made safe against a worker or a server that is killed at any instant.

kombu takes a message with BRPOP and notes it as unacknowledged in a second step; worker or server,
killed in between, lose it. Here one script does both. A script cannot wait, so an idle worker waits
for a bell that our own submissions ring, and looks by itself now and then for those of others.

All of this is for connections of a holder (see `celeriac.unacked`); others do as kombu does.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha1
from queue import Empty
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as stock
from kombu.utils.json import dumps, loads

from celeriac.redis_qos import QoS
from celeriac.unacked import HOLDERS, MOST_UNREADABLE, NOW, UNREADABLE, Unacked, holder_from

BELL = "celeriac-bell"
"""A stream with one entry at most; every new entry wakes the workers that wait."""
IDLE_MS = 200
"""How long a message of a client that rings no bell may wait for an idle worker."""
SHOWN = 200
"""How many characters the log shows of a message that nobody can read."""

TAKE = f"""
-- KEYS are the holder's messages and instants, all holders, the unreadable, and the lists; ARGV the
-- holder and, for each list, how it is called without the prefix of this transport's keys.
for place = 5, #KEYS do
    local raw = redis.call('LINDEX', KEYS[place], -1)
    local name = ARGV[place - 3]
    if raw then
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
        redis.call('ZADD', KEYS[2], now, tag)
        redis.call('HSET', KEYS[1], tag, '[' .. raw .. ', ' .. cjson.encode(name) .. ']')
        -- A holder with a message is known, so that somebody puts it back whatever happens.
        redis.call('ZADD', KEYS[3], now, ARGV[1])
        return {{name, raw, tag}}
    end
end
return false
"""
TAKE_SHA = sha1(TAKE.encode(), usedforsecurity=False).hexdigest()

log = logging.getLogger(__name__)


class UnreadableError(Exception):
    """A message has not the form that all messages have."""


def use_safe_transport() -> None:
    """Have kombu use this transport for the addresses that begin with `redis`."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "celeriac.redis_transport:Transport"


class Message(virtual.Message):  # type: ignore[misc]
    """Tells a message that has another form from trouble of whoever consumes it."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableError(str(error)) from error


class Channel(stock.Channel):  # type: ignore[misc]
    """Takes messages by a script, as long as all of its consumers acknowledge what they get."""

    QoS = QoS
    Message = Message

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_delivering = False
        """Whether a message is being delivered that the script has taken."""
        self._takes = False
        self._waits = False
        self._is_script_known = False
        self._needs_no_acks: set[str] = set()
        self._sender: Any = None
        super().__init__(*args, **kwargs)
        self.holder = holder_from(self.unacked_key)
        # A client of its own beside the one that waits, and one that leaves keys as they are.
        self._client = redis.Redis(connection_pool=self.pool)
        self.unacked = Unacked(self._client, self.global_keyprefix)

    @property
    def is_taking(self) -> bool:
        """Tell whether a message may be on its way here at this moment."""
        return bool(self._in_poll) and self._takes and not self._waits

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Give one client for all that is sent: to make one for each takes longer than sending."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._sender is None or self._sender.connection_pool is not self.pool:
            self._sender = super()._create_client()
        return self._sender

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Consume, and remember whether messages of this queue are acknowledged."""
        if args[0] if args else kwargs.get("no_ack"):
            self._needs_no_acks.add(queue)
        return super().basic_consume(queue, *args, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> Any:
        """Consume no more, having delivered what the server has given already."""
        if self.is_taking and not self.connection.cycle._in_protected_read:
            with suppress(Empty, *self.connection_errors):
                self._brpop_read()
        return super().basic_cancel(consumer_tag)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Take one message at once; None when there is none, or one that nobody can read."""
        if no_ack or self.holder is None:
            return super().basic_get(queue, no_ack, **kwargs)
        keys, names = self._places([queue])
        taken = self._client.eval(TAKE, len(keys), *keys, self.holder, *names)
        found: list[Any] = []

        def note(payload: Any, _: str) -> None:
            message = self.Message(payload, channel=self)
            self.qos.append(message, message.delivery_tag)
            found.append(message)

        with suppress(Empty):
            self._hand_on(taken, note)
        return found[0] if found else None

    def close(self) -> None:
        """Close, even though the server is away; what was held waits in its queues again."""
        self._closing = True
        if self._in_poll:
            with suppress(Empty, *self.connection_errors):
                self._brpop_read()
        super().close()
        if self.holder is not None:
            with suppress(redis.RedisError, OSError):
                self.unacked.forget(self.holder)

    def _places(self, queues: Iterable[str]) -> tuple[list[str], list[str]]:
        """Give the keys that the script takes, and its names of the lists among them."""
        assert self.holder is not None
        names = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        prefix = self.global_keyprefix
        others = [prefix + name for name in (HOLDERS, UNREADABLE, *names)]
        return [*self.unacked.keys_of(self.holder), *others], names

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self.active_queues
        acks = bool(queues) and self._needs_no_acks.isdisjoint(queues)
        self._takes = self.holder is not None and acks
        if not self._takes:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(queues))
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self._in_poll.send_command(*(self._wait() if self._waits else self._take(queues)))

    def _take(self, queues: list[str]) -> list[Any]:
        keys, names = self._places(queues)
        script = ["EVALSHA", TAKE_SHA] if self._is_script_known else ["EVAL", TAKE]
        return [*script, len(keys), *keys, self.holder, *names]

    def _wait(self) -> list[Any]:
        return ["XREAD", "BLOCK", IDLE_MS, "STREAMS", self.global_keyprefix + BELL, "$"]

    def _brpop_read(self, **options: Any) -> Any:
        if not self._takes:
            return super()._brpop_read(**options)
        waited, self._waits = self._waits, False
        answer = self._answer()
        if waited:
            raise Empty  # Whether the bell rang or not, it is time to look.
        if not answer:
            self._waits = True
            self.qos.sweep()  # Without an event loop nothing else would call it.
            raise Empty
        self._is_script_known = True
        return self._hand_on(answer, self.connection._deliver)

    def _answer(self) -> Any:
        """Read what the server answered; it may have forgotten the script, being another one."""
        try:
            return self._in_poll.read_response()
        except redis.exceptions.NoScriptError:
            self._is_script_known = False
            raise Empty from None
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _hand_on(self, answer: Any, deliver: Callable[[Any, str], object]) -> bool:
        """Hand on what the script took.

        Raises:
            Empty: it took nothing, or what nobody can read.
        """
        if not answer:
            raise Empty
        place, raw, *tag = answer
        queue = place.decode().rsplit(self.sep, 1)[0]
        self.is_delivering = True
        try:
            deliver(_read(raw, tag), queue)
        except UnreadableError as error:
            self._set_aside(queue, raw, tag, error)
            raise Empty from None
        finally:
            self.is_delivering = False
        self._queue_cycle.rotate(queue)
        return True

    def _set_aside(self, queue: str, raw: bytes, tag: list[bytes], error: Exception) -> None:
        shown = raw[:SHOWN]
        log.error("%s held what is no message (%s); %s has it: %r", queue, error, UNREADABLE, shown)
        if tag and self.holder is not None:
            self.unacked.set_aside(self.holder, tag[0].decode(), raw)

    def _put(self, queue: str, message: Mapping[str, Any], **kwargs: Any) -> None:
        if queue in self._expires or kwargs.get("_publish_batch"):
            super()._put(queue, message, **kwargs)
            return
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        bell = self.global_keyprefix + BELL
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            pipe.lpush(key, dumps(message))
            pipe.xadd(bell, {"queue": queue}, maxlen=1, approximate=False)
            pipe.execute()


def _read(raw: bytes, tag: list[bytes]) -> Any:
    if not tag:
        raise UnreadableError("It has no delivery tag.")
    try:
        return loads(raw.decode())
    except ValueError as error:
        raise UnreadableError(str(error)) from error


class Transport(stock.Transport):  # type: ignore[misc]
    """kombu's, with the safe channel."""

    Channel = Channel
