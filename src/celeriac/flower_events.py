"""Flower's ear for the events of workers, which tells whether it hears, and listens again soon.

Flower's own doubles its rest with each failure, so that after ten minutes without a broker it may
rest ten minutes more.
"""

import logging
import math
import time

from celery.events import EventReceiver
from flower.events import Events

AGAIN_AFTER_S = 2.0
STALE_AFTER_S = 15.0
"""It asks for events every second, whether there are any or not."""

log = logging.getLogger(__name__)


class ListeningEvents(Events):  # type: ignore[misc]  # Flower has no types.
    """Flower's thread that receives events, with another loop.

    Source: Flower 2.2, `flower/events.py`.
    """

    _asked_s = -math.inf

    @property
    def listens(self) -> bool:
        """Tell whether it is connected to the broker, and at work."""
        return time.monotonic() - self._asked_s < STALE_AFTER_S

    def run(self) -> None:
        """Receive events for ever."""
        while True:
            try:
                self._receive()
            except Exception as error:  # Whatever the transport may raise.
                log.error("Events cannot be heard (%s). Trying again.", error)
            time.sleep(AGAIN_AFTER_S)

    def _receive(self) -> None:
        with self.capp.connection() as connection:
            receiver = EventReceiver(connection, handlers={"*": self.on_event}, app=self.capp)
            setattr(receiver, "on_iteration", self._note)  # noqa: B010 - a method, to mypy
            receiver.capture(limit=None, timeout=None, wakeup=True)

    def _note(self) -> None:
        self._asked_s = time.monotonic()
