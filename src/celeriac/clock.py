"""How far this host's clock is from the one that all hosts share: Redis'.

A run's ETA and expiry are instants of whoever submitted it. A worker whose own clock is wrong would
start it too early, or hold it for hours; so it reckons by how far off its clock is, which its
heartbeat measures again and again. What its tasks send, and when they are to be tried again, is
told by the shared clock too.

The heartbeat is in the worker's main process. Its children read what it found in memory that they
share since they were forked.
"""

import logging
import mmap
import struct
import time
from datetime import datetime, timedelta
from typing import Any

from celery import Celery

TOLERANCE_S = 1.0
"""Clocks that are nearer than this are taken for right: measuring takes time too."""
MEASURED_WITHIN_S = 5.0
LOOK_EVERY_S = 0.01

log = logging.getLogger(__name__)

# How far off the clock is, and, behind that, whether anybody has measured it.
_measurement = struct.Struct("d?")
_shared = mmap.mmap(-1, _measurement.size)
_waited_in_vain = False


def measured(shared_s: float) -> None:
    """Take note of an instant that Redis has just told.

    The answer has been under way, so the shared clock is never thought to be ahead of what it is,
    and no run starts too early.
    """
    found_s = shared_s - time.time()
    offset_s = found_s if abs(found_s) > TOLERANCE_S else 0.0
    if abs(offset_s - _found()[0]) > TOLERANCE_S:
        log.warning("This host's clock is %.0f s %s Redis'.", *_in_words(offset_s))
    _measurement.pack_into(_shared, 0, offset_s, True)


def _found() -> tuple[float, bool]:
    offset_s, is_measured = _measurement.unpack_from(_shared)
    return offset_s, is_measured


def _in_words(offset_s: float) -> tuple[float, str]:
    return abs(offset_s), "behind" if offset_s >= 0 else "ahead of"


def off_by_s() -> float:
    """Give how many seconds the shared clock is ahead of this host's; 0 while nobody knows.

    Right after the start it waits a moment for the first measurement.
    """
    global _waited_in_vain
    until_s = time.monotonic() + MEASURED_WITHIN_S
    while not (_found()[1] or _waited_in_vain):
        time.sleep(LOOK_EVERY_S)
        _waited_in_vain = time.monotonic() > until_s  # Without Redis nobody waits a second time.
    return _found()[0]


def tell_shared_time(app: Celery) -> None:
    """Have a worker's app reckon by the shared clock, in all that it sends.

    Celery makes an ETA of a countdown by it, and a delay or a time to live of an instant.
    """
    known: Any = app
    own = known.__class__.now  # A team's app may be made ours more than once.

    def now() -> datetime:
        shown: datetime = own(known)
        return shown + timedelta(seconds=off_by_s())

    known.now = now


def on_own_clock(instant: datetime | None) -> datetime | None:
    """Give what this host's clock shows when the shared one shows the instant."""
    if instant is None:
        return None
    try:
        return instant - timedelta(seconds=off_by_s())
    except OverflowError:  # It is at the end of all time, and stays there.
        return instant
