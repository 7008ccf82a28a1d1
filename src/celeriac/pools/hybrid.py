"""A pool that awaits coroutines on an event loop, and executes plain functions in threads.

It is Celery's pool of threads but for its coroutines: those wait on the loop, have time limits, and
can be ended. A plain function in a thread has no limits and goes on to its end, as with `threads`.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.worker.request import Request

from celeriac.exchange import share_exchange
from celeriac.pools import threads
from celeriac.pools.bundles import Bundles
from celeriac.pools.coroutines import Coroutines, Limits, Tell
from celeriac.pools.short_runs import ShortRun, may_be_bundled
from celeriac.telling import TellingBackend


class TaskPool(threads.TaskPool):
    """What a worker knows as its pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._coroutines = Coroutines()
        self._awaited: set[str] = set()
        self._bundles: Bundles | None = None

    def on_start(self) -> None:
        """Know the tasks that are coroutines, before Celery looks at what they call."""
        tasks = self.app.tasks
        self._awaited = {name for name in tasks if self._coroutines.serve(tasks[name])}
        self._coroutines.start()
        share_exchange(self.app)
        if isinstance(self.app.backend, TellingBackend):
            self._bundles = Bundles(self.app, self.limit, self._submit)
            self._bundles.start()
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
        accept = options.get("accept_callback")
        if self._bundles and callback and accept and self._goes_in_a_bundle(args):
            self._bundles.add(ShortRun(target, _read_once(args, callback), callback, accept))
            return None
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

    def forget_waiting(self) -> set[str]:
        """Give up what no thread has begun; gives the runs that are executed."""
        begun = super().forget_waiting()
        return begun | self._bundles.forget_waiting() if self._bundles else begun

    def on_stop(self) -> None:
        """Wait for what is executed, until the grace is over."""
        super().on_stop()
        self._coroutines.stop()

    def _goes_in_a_bundle(self, args: Any) -> bool:
        return args[0] not in self._awaited and may_be_bundled(self.app, args)

    def _submit(self, call: Callable[[], None]) -> None:
        """Have a thread do something that a stop waits for."""
        future = self.executor.submit(call)
        name = f"bundles-{id(future)}"
        self._futures[name] = future
        future.add_done_callback(lambda _: self._futures.pop(name, None))

    def _on_end(self, run_id: str, callback: Callable[..., Any], result: Any) -> None:
        tell = self._coroutines.forget(run_id)
        if tell is None:
            callback(result)
        else:
            tell()


def _read_once(args: Any, callback: Any) -> tuple[Any, ...]:
    """Put what the request has read of its message into the place of the message's body."""
    request = getattr(callback, "__self__", None)
    if not isinstance(request, Request):
        return tuple(args)
    known: Any = request
    return (*args[:3], known._payload, None, None)


def _tell(callback: Callable[..., Any] | None, is_soft: bool, limit_s: float) -> None:
    """Tell in a thread of its own: a team's kind of request may wait for Redis."""
    if callback is not None:
        threading.Thread(target=callback, args=(is_soft, limit_s), daemon=True).start()
