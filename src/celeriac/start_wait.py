"""How a role waits at its start for what it cannot work without: so long, and no longer.

Its last line says what did not answer, and its exit code is 1, so that whatever looks after it
starts it again.
"""

import time
from collections.abc import Callable

import redis
from amqp.exceptions import AMQPError
from kombu import Connection
from kombu.exceptions import KombuError

from celeriac.errors import BrokerUnavailableError, ResultsUnavailableError, TransientError
from celeriac.redis_client import connect

AGAIN_AFTER_S = 2.0
_NOT_CONNECTED = (KombuError, AMQPError, redis.RedisError, OSError)
"""That it refuses a password may pass as well: who sets it up may not be ready yet."""


def wait_for(ask: Callable[[], None], role: str, wait_s: int) -> None:
    """Ask until nothing is away any more.

    Raises:
        TransientError: as `ask` raised it, once it has done so for `wait_s`.
    """
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return ask()
        except TransientError as error:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise type(error)(
                    f"{error} The {role} waited {wait_s} s for it (CELERIAC_START_WAIT_S) and ends."
                ) from error
            print(f"{error} Trying again for {left_s:.0f} s more.", flush=True)
            time.sleep(min(AGAIN_AFTER_S, left_s))


def wait_for_broker(connection: Connection, role: str, wait_s: int) -> None:
    """Connect to the broker, which Celery itself would try for ever.

    Raises:
        BrokerUnavailableError: it did not answer for so long.
    """

    def ask() -> None:
        try:
            connection.ensure_connection(max_retries=0)
        except _NOT_CONNECTED as error:
            raise BrokerUnavailableError(
                f"The broker did not answer as it should at {connection.as_uri()} ({error}). "
                "Check CELERIAC_BROKER_URL, and that the broker runs."
            ) from None

    wait_for(ask, role, wait_s)


def wait_for_redis(url: str, role: str, wait_s: int) -> None:
    """Wait for the Redis that results and events go to.

    Raises:
        ResultsUnavailableError: it did not answer for so long.
    """

    def ask() -> None:
        try:
            with connect(url) as client:
                client.ping()
        except redis.RedisError as error:
            raise ResultsUnavailableError(
                f"Redis did not answer as it should ({error}). "
                "Check CELERIAC_REDIS_URL, and that Redis runs."
            ) from None

    wait_for(ask, role, wait_s)
