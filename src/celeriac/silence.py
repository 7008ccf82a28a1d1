"""Which holders of messages have fallen silent, judged by how often nothing new was heard of them.

No clock takes part: a server's may jump, a laptop sleeps, and a server that was away for a while
has heard nobody. What counts is that this process looked again and again, at its usual pace, and
each time found the very same last sign of life.
"""

import logging

from celeriac.unacked import Spoken, Unacked, node_of

LOOKS = 30
"""After so many looks that found nothing new, a holder is taken for dead: about a minute."""
LOOKS_OF_SUCCESSOR = 4
"""The same for one whose name the holder that looks bears now: about eight seconds."""

log = logging.getLogger(__name__)


class Silence:
    """Watches the other holders on behalf of one."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._looks: dict[Spoken, int] = {}

    def look(self, unacked: Unacked) -> None:
        """Look once more, and put back what holders had that are silent for too long.

        Raises:
            redis.RedisError: the server is away; counting begins anew.
        """
        looks, self._looks = self._looks, {}
        spoken = [one for one in unacked.holders() if one.holder != self._holder]
        looks = {one: looks.get(one, 0) + 1 for one in spoken}
        for one in spoken:
            if looks[one] >= self._patience(one):
                _take_from(unacked, one)
        self._looks = looks

    def _patience(self, other: Spoken) -> int:
        is_successor = node_of(other.holder) == node_of(self._holder)
        return LOOKS_OF_SUCCESSOR if is_successor else LOOKS


def _take_from(unacked: Unacked, silent: Spoken) -> None:
    count = unacked.take_from(silent)
    if count:
        log.warning("%s is silent; the %d it held wait in their queues.", silent.holder, count)
    unacked.forget(silent.holder)
