"""What a message tells of replays: how often its run came back from the dead letters.

A replay begins another attempt. So all that happens to the run from then on stands behind its
death, wherever attempts are compared, and nothing late of its former life moves it back. Celery
does not count a replay as a retry: the run may be tried again as often as before.
"""

from collections.abc import Mapping
from typing import Any

HEADER = "celeriac_replays"
"""The header that counts them; Celery takes it along when it tries the run again."""


def attempt_of(request: Any) -> int:
    """Give the number of the attempt that a request is of; the first is 1."""
    retries = getattr(request, "retries", None) or 0
    return int(retries) + _count(getattr(request, HEADER, None)) + 1


def once_more(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Give the headers of a message that is replayed."""
    return {**headers, HEADER: _count(headers.get(HEADER)) + 1}


def _count(told: Any) -> int:
    # Any client may write anything there.
    return told if isinstance(told, int) and 0 < told < 1_000_000 else 0
