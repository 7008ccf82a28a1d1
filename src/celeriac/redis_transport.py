"""kombu's Redis transport, made safe against a worker or a server that is killed at any instant.

kombu takes a message with BRPOP and notes it as unacknowledged in a second step; worker or server,
killed in between, lose it. Here one script does both. A script cannot wait, so an idle worker waits
for a bell that our own submissions ring, and looks by itself now and then for those of others.

All of this is for connections of a holder (see `celeriac.unacked`); others do as kombu does.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from queue import Empty
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as stock
from kombu.utils.json import dumps, loads
from kombu.utils.scheduling import priority_cycle

from celeriac.redis_qos import QoS
from celeriac.unacked import HOLDERS, TAKE, UNREADABLE, Unacked, holder_from

BELL = "celeriac-bell"
"""A stream with one entry at most; every new entry wakes the workers that wait."""
IDLE_MS = 200
"""How long a message of a client that rings no bell may wait for an idle worker."""
SHOWN = 200
"""How many characters the log shows of a message that nobody can read."""

MOST_AT_ONCE = 32
"""How many messages a worker takes at once; its loop does nothing else while it hands them on."""

TAKE_SHA = sha1(TAKE.encode(), usedforsecurity=False).hexdigest()

Deliver = Callable[[Any, str], object]

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
    most_at_once = 1
    """How many messages one exchange may take; an option of the transport."""
    from_transport_options = (*stock.Channel.from_transport_options, "most_at_once")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_delivering = False
        """Whether a message is being delivered that the script has taken."""
        self._takes = False
        self._waits = False
        self._is_script_known = False
        self._wanted, self._asked = 1, 1
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
        taken = self._client.eval(TAKE, len(keys), *keys, self.holder, 1, *names)
        found: list[Any] = []

        def note(payload: Any, _: str) -> None:
            message = self.Message(payload, channel=self)
            self.qos.append(message, message.delivery_tag)
            found.append(message)

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
        self._asked = self._most_at_once()
        return [*script, len(keys), *keys, self.holder, self._asked, *names]

    def _most_at_once(self) -> int:
        """Give how many messages to ask for: few at first, and more while there are enough.

        So workers share a few messages, and take many only where more wait than one can do with.
        """
        if len(self.active_queues) > 1 and not isinstance(self._queue_cycle, priority_cycle):
            return 1  # Queues have turns.
        free = self.qos.can_consume_max_estimate()
        most = self.most_at_once if free is None else min(self.most_at_once, free)
        return max(1, min(self._wanted, most))

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
        self._wanted = 2 * self._asked if len(answer) == self._asked else 1
        if not self._hand_on(answer, self.connection._deliver):
            raise Empty
        return True

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

    def _hand_on(self, taken: Sequence[Sequence[bytes]], deliver: Deliver) -> bool:
        """Hand on what the script took; tells whether that was any message that can be read."""
        count = 0
        left = iter(taken)
        try:
            for one in left:
                count += self._hand_on_one(*one, deliver=deliver)
        finally:
            # Where handing on one has failed, the others go back, by the sweep if not at once.
            self.qos.give_back_all(tag[0].decode() for _, _, *tag in left if tag)
        return count > 0

    def _hand_on_one(self, place: bytes, raw: bytes, *tag: bytes, deliver: Deliver) -> bool:
        queue = place.decode().rsplit(self.sep, 1)[0]
        self.is_delivering = True
        try:
            deliver(_read(raw, tag), queue)
        except UnreadableError as error:
            self._set_aside(queue, raw, tag, error)
            return False
        finally:
            self.is_delivering = False
        self._queue_cycle.rotate(queue)
        return True

    def _set_aside(self, queue: str, raw: bytes, tag: Sequence[bytes], error: Exception) -> None:
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


def _read(raw: bytes, tag: Sequence[bytes]) -> Any:
    if not tag:
        raise UnreadableError("It has no delivery tag.")
    try:
        return loads(raw.decode())
    except ValueError as error:
        raise UnreadableError(str(error)) from error


class Transport(stock.Transport):  # type: ignore[misc]
    """kombu's, with the safe channel."""

    Channel = Channel
