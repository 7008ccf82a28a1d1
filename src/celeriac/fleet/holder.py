"""The worker as a holder of messages on a Redis broker, however it was started and named."""

import os
from typing import Any

import redis
from celery.concurrency import solo
from celery.signals import worker_process_init
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError

from celeriac.redis_transport import MOST_AT_ONCE
from celeriac.silence import Silence
from celeriac.unacked import Unacked, holder_of, transport_options

ANSWERS_WITHIN_S = 1.0
PASSING = (redis.RedisError, OperationalError, OSError)

log = get_logger(__name__)


def most_at_once(controller: Any) -> int:
    """Give how many messages a worker may take at once.

    Where a message is executed as it is handed on, or handing on waits for a free place, those
    that came with it would wait, and so would whoever asks the worker something.
    """
    pool = controller.pool_cls
    is_beside = not (issubclass(pool, solo.TaskPool) or pool.is_green)
    # Without prefetching, Celery decides about each message whether there is a place for it.
    return MOST_AT_ONCE if is_beside and not controller.app.conf.worker_disable_prefetch else 1


class Holder:
    """Says that the worker lives, and puts back what those held that live no more."""

    def __init__(self, app: Any, name: str) -> None:
        self._app = app
        self._name = name
        self._silence = Silence(name)
        self._connection: Any = None
        self._unacked: Unacked | None = None

    @classmethod
    def of(cls, controller: Any) -> "Holder | None":
        """Make all connections of a worker those of one holder; None on another broker."""
        app = controller.app
        if not app.conf.broker_url.startswith("redis"):
            return None
        name = holder_of(controller.hostname)
        before = app.conf.broker_transport_options
        more = {"most_at_once": most_at_once(controller)}
        app.conf.broker_transport_options = before | transport_options(name) | more

        pid = os.getpid()

        def be_nobody(**_: object) -> None:
            # A child that consumes by itself knows not what its parent holds, nor it of the child.
            if os.getpid() != pid:  # The pool `solo` sends this signal in the worker itself.
                app.conf.broker_transport_options = before

        worker_process_init.connect(be_nobody, weak=False)
        return cls(app, name)

    def beat(self) -> None:
        """Say that the worker lives, and look whether others do."""
        try:
            unacked = self._unacked or self._connect()
            unacked.say_alive(self._name)
            self._silence.look(unacked)
        except PASSING as error:
            log.debug("The broker takes no sign of life: %s", error)
            self._silence = Silence(self._name)
        except Exception:
            log.exception("The worker cannot say that it lives.")

    def end(self) -> None:
        """Let nobody wait for another sign of life."""
        if self._unacked is None:
            return
        try:
            self._unacked.forget(self._name)
        except PASSING as error:
            log.debug("The broker takes no goodbye: %s", error)

    def _connect(self) -> Unacked:
        """Connect as kombu does, but never wait long: this thread has more to do."""
        short = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), ANSWERS_WITHIN_S)
        self._connection = self._app.connection_for_read(transport_options=short)
        self._unacked = self._connection.channel().unacked
        return self._unacked
