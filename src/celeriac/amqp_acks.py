"""What a channel of RabbitMQ has delivered, and what of it is to be acknowledged together.

One acknowledgement may stand for all before it, which spares RabbitMQ's quorum queues a command
for each. It is given only where each message before it is settled, or is to be acknowledged now.
"""

import threading
import time
from struct import Struct

from amqp.spec import Basic

from celeriac.amqp_frames import FRAME_END, METHOD

MOST_DUE = 256
"""So many acknowledgements wait at most."""
LONGEST_WAIT_S = 0.05
"""So long one waits at most while more come."""

_FRAME = Struct(">BHIHHQBB")
_SIZE = 13


class Acks:
    """The account of one channel; any thread may settle what the loop's thread delivers."""

    def __init__(self) -> None:
        self.due: dict[int, None] = {}
        """What is to be acknowledged, by its tag, in the order in which that was asked for."""
        self._open: dict[int, None] = {}
        self._is_counted = True
        self._last = 0
        self._since_s = 0.0
        self._lock = threading.Lock()

    def deliver(self, tag: int) -> None:
        """Note a message that is to be settled."""
        with self._lock:
            self._is_counted = self._is_counted and tag > self._last
            self._last = tag
            if self._is_counted:
                self._open[tag] = None
            else:
                self._open.clear()

    def count_no_more(self) -> None:
        """Let each acknowledgement stand for itself: messages may be open that are not known."""
        with self._lock:
            self._is_counted = False
            self._open.clear()

    def settle(self, tag: int) -> None:
        """Note a message that was settled by itself."""
        with self._lock:
            self._open.pop(tag, None)

    def settle_to(self, tag: int) -> None:
        """Note that a message was settled together with all before it; 0 is for all."""
        with self._lock:
            for each in [each for each in self._open if not tag or each <= tag]:
                del self._open[each]

    def add(self, tag: int) -> bool:
        """Have a message acknowledged with others; tells whether that must be now."""
        with self._lock:
            now_s = time.monotonic()
            if not self.due:
                self._since_s = now_s
            self.due[tag] = None
            return len(self.due) >= MOST_DUE or now_s - self._since_s > LONGEST_WAIT_S

    def take(self) -> list[tuple[int, bool]]:
        """Take what is due: tags, each with whether it stands for all before it, too."""
        with self._lock:
            due, self.due = self.due, {}
            first: list[int] = []
            for tag in self._open:
                if tag not in due:
                    break
                first.append(tag)
            together = first if len(first) > 1 else []
            for tag in due:
                self._open.pop(tag, None)
            for tag in together:
                del due[tag]
            return [(tag, True) for tag in together[-1:]] + [(tag, False) for tag in due]

    def forget(self) -> None:
        """Forget all: with its channel closed, RabbitMQ gives out again what is open."""
        with self._lock:
            self.due = {}
            self._open.clear()
            self._last = 0


def frames_of(channel: int, acks: list[tuple[int, bool]]) -> bytes:
    """Give acknowledgements as RabbitMQ reads them."""
    method = (METHOD, channel, _SIZE, *Basic.Ack)
    return b"".join([_FRAME.pack(*method, *ack, FRAME_END) for ack in acks])
