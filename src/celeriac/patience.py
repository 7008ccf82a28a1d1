"""What of Redis's troubles passes, and a client's way to wait until it has passed."""

import logging
from collections.abc import Callable
from typing import Any

import redis.exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

# What Redis says when it cannot write for now; stock Celery would acknowledge the message then,
# and the run would be lost.
_PASSING = (
    "OOM ", "MISCONF ", "READONLY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ",
    "NOREPLICAS ", "BUSY ",
)  # fmt: skip
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
FOR_EVER = -1

log = logging.getLogger(__name__)


class Patience(Retry):
    """Asks a Redis again that is away or cannot write for now, until it can."""

    __hash__ = Retry.__hash__

    def __init__(self) -> None:
        backoff = ExponentialBackoff(LONGEST_PAUSE_S, FIRST_PAUSE_S)
        super().__init__(backoff, FOR_EVER, (*_AWAY, redis.exceptions.ResponseError))

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Any,
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Do something until it succeeds, or fails for good."""

        def note(error: Exception, failures: int) -> None:
            if failures == 1:
                log.warning("Redis does not answer as it should (%s); trying again.", error)
            fail(error, failures) if with_failure_count else fail(error)

        return super().call_with_retry(do, note, is_passing, with_failure_count=True)


def is_passing(error: BaseException) -> bool:
    """Tell whether the same question may be answered otherwise in a while."""
    if isinstance(error, redis.exceptions.ResponseError):
        return _said(error).startswith(_PASSING)
    return isinstance(error, _AWAY)


def _said(error: redis.exceptions.ResponseError) -> str:
    """Give the server's words; redis-py keeps the first one apart where it has a class for it."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)
