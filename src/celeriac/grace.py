"""How long this process may finish what it does, once it was told to stop.

There is one worker in a process, as Celery itself has it (`celery.worker.state.should_stop`), and
signals reach a process as a whole. A handler of signals writes here, and pools read: neither waits
for the other, so that no signal ever comes at a wrong moment.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

SAME_WISH_S = 1.0
"""Who waits as long as we do says so at the same moment: that is not another signal."""


@dataclass
class Grace:
    """Not begun, begun, over, cut: then not even the end of what is handed back is awaited."""

    end_running: Callable[[], None] = lambda: None
    """Ends what is executed, and leaves it to the broker; set by the worker."""
    has_begun: bool = False
    over_at_s: float | None = None
    is_cut: bool = False

    @property
    def is_over(self) -> bool:
        """Tell whether what is not finished is to be handed back now."""
        return self.over_at_s is not None

    def begin(self) -> None:
        """Let what was begun be finished."""
        self.has_begun = True

    def hasten(self) -> None:
        """Hand back what is not finished; asked once more, do not even wait for that."""
        self.has_begun = True
        if self.over_at_s is None:
            self.over_at_s = time.monotonic()
        elif time.monotonic() - self.over_at_s > SAME_WISH_S:
            self.is_cut = True


grace = Grace()
