"""What a process holds of the messages on a Redis broker: acknowledged, given back, or lost.

kombu keeps this account for each channel and drops it with the channel, whether or not the server
heard of it. Here what fails while the server is away is made up for when it is back.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

import redis
from kombu.transport import redis as stock
from kombu.transport import virtual

from celeriac.unacked import Unacked

SWEEP_EVERY_S = 5.0
IN_TRANSIT_S = 10.0
"""How long a message may be on its way from the server to this process."""

# What a process holds is spread over the channels of all its connections, of which each knows its
# own alone; and a message may be acknowledged when the channel that it came by is closed. By the
# identifier of the object, since copying the values of a dictionary is one step for other threads.
_open: "WeakValueDictionary[int, QoS]" = WeakValueDictionary()
# The holders and tags of messages that are to be acknowledged when the server is back.
_late_acks: set[tuple[str, str]] = set()
# What a thread acknowledges together: the tags, by who has to tell the server.
_together = threading.local()


@contextmanager
def acknowledging_together() -> Iterator[None]:
    """Tell the server in one go, at the end of this block, of all that is acknowledged in it."""
    acks: defaultdict[QoS, list[str]] = defaultdict(list)
    _together.acks = acks
    try:
        yield
    finally:
        del _together.acks
        for qos, tags in acks.items():
            qos.tell_acknowledged(tags)


class QoS(stock.QoS):  # type: ignore[misc]
    """Knows what this process holds, and acknowledges later what it cannot now."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.holder: str | None = self.channel.holder
        # The channel may be closed and stripped of its connection when this is still needed.
        self._unacked: Unacked = self.channel.unacked
        self._swept_s = -SWEEP_EVERY_S
        _open[id(self)] = self

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as unacknowledged, unless the script did when it took it."""
        if self.channel.is_delivering:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; with the server away, as soon as it is back."""
        if self.holder is None:
            super().ack(delivery_tag)
            return
        virtual.QoS.ack(self, delivery_tag)
        acks = getattr(_together, "acks", None)
        if acks is None:
            self.tell_acknowledged([delivery_tag])
        else:
            acks[self].append(delivery_tag)

    def tell_acknowledged(self, tags: Sequence[str]) -> None:
        """Tell the server that messages are acknowledged; with it away, as soon as it is back."""
        assert self.holder is not None
        try:
            self._unacked.acknowledge(self.holder, tags)
        except (redis.RedisError, OSError):
            _late_acks.update((self.holder, tag) for tag in tags)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or give it back; with the server away, the sweep does so later."""
        if self.holder is None:
            super().reject(delivery_tag, requeue)
        elif not requeue:
            self.ack(delivery_tag)
        else:
            virtual.QoS.ack(self, delivery_tag)
            with suppress(redis.RedisError, OSError):
                self._give_back([delivery_tag], as_last=True)

    def give_back(self, delivery_tag: str) -> None:
        """Give a message back to where it came from; with the server away, the sweep does later."""
        if self.holder is None:
            super().reject(delivery_tag, requeue=True)
            return
        virtual.QoS.ack(self, delivery_tag)
        with suppress(redis.RedisError, OSError):
            self._give_back([delivery_tag])

    def give_back_all(self, delivery_tags: Iterable[str]) -> None:
        """Give back what was taken and not delivered; with the server away, the sweep does so."""
        with suppress(redis.RedisError, OSError):
            self._give_back(delivery_tags)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back all that was delivered here; with the server away, the sweep does so later."""
        if self.holder is None:
            super().restore_unacked(client)
            return
        tags = [tag for tag in self._delivered if tag not in self._dirty]
        self._delivered.clear()
        with suppress(redis.RedisError, OSError):
            self._give_back(tags)

    def holds(self, delivery_tag: str) -> bool:
        """Tell whether the message was delivered here and is not acknowledged."""
        return delivery_tag in self._delivered and delivery_tag not in self._dirty

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Put back what nobody will acknowledge; kombu calls this now and then."""
        if self.holder is None:
            super().restore_visible(*args, **kwargs)
        else:
            self.sweep()

    def sweep(self) -> None:
        """Once in a while, acknowledge what is late and put back what got lost on its way here."""
        is_due = time.monotonic() - self._swept_s >= SWEEP_EVERY_S
        if self.holder is None or not is_due or self.channel.is_taking:
            return
        self._swept_s = time.monotonic()
        late = [tag for holder, tag in tuple(_late_acks) if holder == self.holder]
        if late:
            self._unacked.acknowledge(self.holder, late)
            _late_acks.difference_update((self.holder, tag) for tag in late)
        # A connection may break when the server has given a message and it has not arrived.
        held = self._unacked.held_since(self.holder, IN_TRANSIT_S)
        self._unacked.put_back(self.holder, [one for one in held if not _is_held(one.tag)])

    def _give_back(self, tags: Iterable[str], *, as_last: bool = False) -> None:
        assert self.holder is not None
        wanted = set(tags)
        held = self._unacked.held_since(self.holder, 0) if wanted else []
        mine = [one for one in held if one.tag in wanted]
        self._unacked.put_back(self.holder, mine, as_last=as_last)


def _is_held(tag: str) -> bool:
    found = (reference() for reference in _open.valuerefs())
    return any(qos is not None and qos.holds(tag) for qos in found)
