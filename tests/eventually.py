"""Wait for something to become true, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.25
PATIENCE_S = 30
"""Speed is measured in bench/: a test waits for what comes, on a busy machine too."""


def eventually(check: Callable[[], T], *, deadline_s: float = PATIENCE_S) -> T:
    """Call `check` until it gives something truthy, and return that.

    An exception of `check` counts as "not yet". The pauses grow, so what happens at once is seen at
    once, and a long wait costs little.

    Raises:
        AssertionError: the deadline passed; it tells the last value, and its cause is the last
            exception.
    """
    give_up_at = time.monotonic() + deadline_s
    pause_s = FIRST_PAUSE_S
    while True:
        value, error = _attempt(check)
        if value and error is None:
            return value
        left_s = give_up_at - time.monotonic()
        if left_s <= 0:
            raise AssertionError(_verdict(check, value, error, deadline_s)) from error
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def _attempt(check: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return check(), None
    except Exception as error:
        return None, error


def _verdict(check: object, value: object, error: Exception | None, deadline_s: float) -> str:
    name = getattr(check, "__qualname__", repr(check))
    last = f"raised {error!r}" if error else f"gave {value!r}"
    return f"not within {deadline_s:g} s: {name} last {last}"
