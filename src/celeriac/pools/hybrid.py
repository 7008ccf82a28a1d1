"""A pool that awaits coroutines on an event loop, and executes plain functions in threads.

It is Celery's pool of threads but for its coroutines: those wait on the loop, have time limits, and
can be ended. A plain function in a thread has no limits and goes on to its end, as with `threads`.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celeriac.exchange import share_exchange
from celeriac.pools import threads
from celeriac.pools.coroutines import Coroutines, Limits, Tell


class TaskPool(threads.TaskPool):
    """What a worker knows as its pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._coroutines = Coroutines()
        self._awaited: set[str] = set()

    def on_start(self) -> None:
        """Know the tasks that are coroutines, before Celery looks at what they call."""
        tasks = self.app.tasks
        self._awaited = {name for name in tasks if self._coroutines.serve(tasks[name])}
        self._coroutines.start()
        share_exchange(self.app)
        super().on_start()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        timeout_callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Have a thread execute a run, and wait for the loop where it is a coroutine's."""
        run_id = options.get("correlation_id")
        if run_id and callback and args and args[0] in self._awaited:
            limits = Limits(soft_timeout, timeout, partial(_tell, timeout_callback))
            self._coroutines.expect(run_id, limits)
            callback = partial(self._on_end, run_id, callback)
        return super().on_apply(target, args, kwargs, callback=callback, **options)

    def end_run(self, run_id: str, tell: Tell) -> bool:
        """End a run and then have that told; says whether it can be, since it is a coroutine's."""
        if not self._coroutines.end(run_id, tell):
            return False
        waiting = self._futures.get(run_id)
        if waiting is not None and waiting.cancel():
            self._coroutines.forget(run_id)
            tell()
        return True

    def on_stop(self) -> None:
        """Wait for what is executed, until the grace is over."""
        super().on_stop()
        self._coroutines.stop()

    def _on_end(self, run_id: str, callback: Callable[..., Any], result: Any) -> None:
        tell = self._coroutines.forget(run_id)
        if tell is None:
            callback(result)
        else:
            tell()


def _tell(callback: Callable[..., Any] | None, is_soft: bool, limit_s: float) -> None:
    """Tell in a thread of its own: a team's kind of request may wait for Redis."""
    if callback is not None:
        threading.Thread(target=callback, args=(is_soft, limit_s), daemon=True).start()
