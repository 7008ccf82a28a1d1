"""What tasks print, as whole lines.

Celery logs each piece that is written, and `print("row", 7)` writes three and a newline. Here a
piece waits for the end of its line, which is the run's end at the latest; threads do not mix.
"""

import sys
import threading
from typing import Any

from celery import Celery
from celery.app.log import Logging
from celery.utils import log
from celery.utils.log import LoggingProxy
from kombu.utils.encoding import safe_str

LONGEST_OPEN = 8_000
"""Characters that wait for the end of their line; then they go without it."""
_STOCK = "celery.app.log:Logging"


def print_whole_lines(app: Celery) -> None:
    """Have an app's workers log what is printed line by line, unless the team logs its own way."""
    if app.log_cls == _STOCK:
        app.log_cls = f"{__name__}:LineLogging"


def finish_lines() -> None:
    """Log what this thread has printed without ending the line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, LineProxy):
            stream.finish()


class LineLogging(Logging):
    """Celery's logging with another proxy in the place of the standard streams."""

    def redirect_stdouts_to_logger(
        self, logger: Any, loglevel: Any = None, stdout: bool = True, stderr: bool = True
    ) -> Any:
        """Redirect the streams, each to a proxy of its own: their lines do not mix."""
        proxy = LineProxy(logger, loglevel)
        if stdout:
            sys.stdout = proxy
        if stderr:
            sys.stderr = LineProxy(logger, loglevel)
        return proxy


class LineProxy(LoggingProxy):
    """Logs what is written when its line ends; lines that one `print` writes stay together."""

    def __init__(self, logger: Any, loglevel: Any = None) -> None:
        super().__init__(logger, loglevel)
        self._open = threading.local()

    def write(self, data: Any) -> Any:
        """Take a piece of a line, or several lines."""
        text = str(safe_str(data))
        if vars(log)["_in_sighandler"] or getattr(_logging(self), "recurse_protection", False):
            super().write(text)  # Celery's own way with it, which is not to log.
            return len(text)
        self._open.text = getattr(self._open, "text", "") + text
        # The newline of `print` comes as a piece of its own, after lines that belong together.
        if text.endswith("\n") or len(self._open.text) > LONGEST_OPEN:
            self.finish()
        return len(text)

    def finish(self) -> None:
        """Log what waits."""
        text, self._open.text = getattr(self._open, "text", ""), ""
        super().write(text)


def _logging(proxy: Any) -> Any:
    """Give what tells whether this thread is just logging; the types do not know of it."""
    return proxy._thread
