"""Runs that take next to no time, executed by one thread after the other and told together.

For each run by itself a thread tells Redis of its start, waits, executes it, tells of its end, and
waits again; and the worker's loop wakes a thread for each. Here a thread takes as many runs as it
can execute within some milliseconds, by what runs have taken until now: one exchange tells of all
their starts and of the ends of those before. What takes long is taken one by one.

Celery's own code executes each run, so signals, hooks, retries and errors are as ever; only that it
has succeeded is told afterwards, and then its message is acknowledged.

When a run takes longer than it should, those that wait behind it in its bundle go to other threads,
and the ends of those before it are told. Only one thing is seen: such a run may be told as started
some milliseconds, or with every thread busy longer, before it executes.
"""

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from threading import Event, Lock, Thread

from celery import Celery
from celery.app.task import Context
from celery.concurrency.base import apply_target
from celery.utils.log import get_logger

from celeriac.pools.short_runs import ShortRun
from celeriac.telling import TellingBackend, Told, told_together

BUNDLE_S = 0.005
"""How long the runs of a bundle may take together, as far as one can know."""
MOST = 64
SHORTEST_S = 0.00001
SOON_S = 0.02
"""Where all that waits takes longer, another thread helps; what executes longer is a surprise."""
SLOW_S = 0.001
"""A run of a task that takes longer waits for no other, while there is a thread."""
TURN_S = 0.1
"""After so long a thread lets others have their turn, which execute what goes in no bundle."""
LOOK_EVERY_S = 0.01

log = get_logger(__name__)


class Bundle:
    """What one thread does now; others may take from it what waits."""

    def __init__(self) -> None:
        self.ready: deque[ShortRun] = deque()
        self.ended: deque[ShortRun] = deque()
        self.executes_since_s: float | None = None


class Bundles:
    """The runs of a pool that go in bundles; `submit` has a thread of the pool do something."""

    def __init__(
        self, app: Celery, limit: int, submit: Callable[[Callable[[], None]], object]
    ) -> None:
        self._app = app
        self._limit = limit
        self._submit = submit
        self._lock = Lock()
        self._waiting: deque[ShortRun] = deque()
        self._waiting_s = 0.0
        self._told: deque[ShortRun] = deque()
        self._begun: set[str] = set()
        self._bundles: set[Bundle] = set()
        self._threads = 0
        self._takes_s: defaultdict[str, float] = defaultdict(lambda: BUNDLE_S)
        self._is_busy = Event()

    def start(self) -> None:
        """Begin to look after what takes longer than it should."""
        Thread(target=self._watch, name="celeriac-bundles", daemon=True).start()

    def add(self, run: ShortRun) -> None:
        """Have a run executed as soon as a thread has time for it."""
        with self._lock:
            run.takes_s = self._takes_s[run.args[0]]
            self._waiting.append(run)
            self._waiting_s += run.takes_s
            helps = self._needs_help(run.takes_s)
            self._threads += helps
        if helps:
            self._help()

    def forget_waiting(self) -> set[str]:
        """Give up what no thread has taken; gives the runs that were told as started."""
        with self._lock:
            self._waiting.clear()
            self._waiting_s = 0.0
            return set(self._begun)

    def _needs_help(self, takes_s: float) -> bool:
        if self._threads == 0:
            return True
        is_late = takes_s > SLOW_S or self._waiting_s > SOON_S * self._threads
        return is_late and self._threads < self._limit

    def _help(self) -> None:
        self._is_busy.set()
        try:
            self._submit(self._serve)
        except RuntimeError:  # The pool has stopped; the broker has the messages.
            with self._lock:
                self._threads -= 1

    def _serve(self) -> None:
        """Execute one bundle after the other until none waits, or others have their turn."""
        bundle, until_s = Bundle(), time.monotonic() + TURN_S
        with self._lock:
            self._bundles.add(bundle)
        try:
            while time.monotonic() < until_s and self._fill(bundle):
                self._execute(bundle)
            self._tell([], _emptied(bundle.ended))
        finally:
            with self._lock:
                self._bundles.discard(bundle)
                self._threads -= 1
                goes_on = bool(self._waiting or self._told) and self._threads < self._limit
                self._threads += goes_on
            if goes_on:
                self._help()

    def _fill(self, bundle: Bundle) -> bool:
        """Begin the next bundle, and tell of what has ended; tells whether there is one."""
        with self._lock:
            if self._told:
                bundle.ready.append(self._told.popleft())
            starts = [] if bundle.ready else self._take()
        if starts:
            self._tell(starts, _emptied(bundle.ended))
            bundle.ready.extend(starts)
        return bool(bundle.ready)

    def _take(self) -> list[ShortRun]:
        """Take from what waits as much as can be executed soon; the lock is held."""
        starts: list[ShortRun] = []
        left_s = BUNDLE_S
        while self._waiting and len(starts) < MOST:
            left_s -= self._waiting[0].takes_s
            if starts and left_s < 0:
                break
            starts.append(self._waiting.popleft())
            self._waiting_s -= starts[-1].takes_s
        if not self._waiting:
            self._waiting_s = 0.0  # Sums of fractions are not exact.
        self._begun.update(run.id for run in starts)
        return starts

    def _tell(self, starts: list[ShortRun], ended: list[ShortRun]) -> None:
        """Tell of starts and ends in one exchange, and do what follows from each."""
        if not (starts or ended):
            return
        backend: TellingBackend = self._app.backend
        begun = [(run, told) for run in starts if (told := self._start(backend, run))]
        changes = [run.telling.success for run in ended if run.telling.success]
        changes += [told for _, told in begun]
        errors = backend.write_together(changes)
        for run, error in zip(ended, errors, strict=False):
            self._end(run, error)
        for (run, (start, request)), error in zip(begun, errors[len(ended) :], strict=True):
            # What cannot be told now is told by Celery's own code, which says what is wrong.
            if error is None:
                run.telling.start = request
                run.telling.is_start_stored = start.result is not None

    def _start(self, backend: TellingBackend, run: ShortRun) -> Told | None:
        """Give what tells of a start, unless Celery's own code has to find out what is wrong."""
        try:
            run.on_accept(os.getpid(), time.monotonic())
            request = Context.__new__(Context)  # It is asked nothing that making one finds out.
            vars(request).update(run.args[2])
            task = self._app.tasks[run.args[0]]
            return backend.start_of(task, run.id, request), request
        except Exception:
            log.exception("The start of run %s cannot be told with others.", run.id)
            return None

    def _execute(self, bundle: Bundle) -> None:
        """Execute what is left in a bundle; somebody else may take some of it."""
        while run := _first(bundle.ready):
            began_s = bundle.executes_since_s = time.monotonic()
            try:
                with told_together(run.telling):
                    apply_target(run.target, run.args, callback=run.keep)
            except BaseException:  # Whatever it is, the next run has nothing to do with it.
                log.exception("Celery could not execute run %s.", run.id)
            bundle.executes_since_s = None
            self._learn(run, time.monotonic() - began_s)
            if run.telling.success:
                bundle.ended.append(run)
            else:
                self._end(run)

    def _learn(self, run: ShortRun, took_s: float) -> None:
        """Come nearer to what half of the runs take: some wait long for the interpreter."""
        name = run.args[0]
        known_s = self._takes_s[name]
        self._takes_s[name] = max(SHORTEST_S, known_s * (1.15 if took_s > known_s else 0.85))

    def _end(self, run: ShortRun, error: Exception | None = None) -> None:
        with self._lock:
            self._begun.discard(run.id)
        if error is not None:
            # Its message stays with the broker.
            log.error("The end of run %s could not be stored.", run.id, exc_info=error)
        elif run.outcome is not None:
            try:
                run.on_end(run.outcome)
            except Exception:
                log.exception("What follows the end of run %s has failed.", run.id)

    def _watch(self) -> None:
        while True:
            self._is_busy.wait()
            time.sleep(LOOK_EVERY_S)
            try:
                self._look()
            except Exception:
                log.exception("Nobody looks after runs that take long; trying again.")

    def _look(self) -> None:
        """See to it that nothing waits behind a run that takes longer than it should."""
        now_s = time.monotonic()
        with self._lock:
            bundles = list(self._bundles)
            if not self._threads:
                self._is_busy.clear()
        for bundle in bundles:
            since_s = bundle.executes_since_s
            if since_s is None or now_s - since_s < SOON_S:
                continue
            ready = _emptied(bundle.ready)
            with self._lock:
                self._told.extend(ready)
            self._tell([], _emptied(bundle.ended))
        with self._lock:
            waits = len(self._told) + len(self._waiting)
            stuck = sum(
                each.executes_since_s is not None and now_s - each.executes_since_s >= SOON_S
                for each in bundles
            )
            helpers = max(0, min(waits, stuck, self._limit - self._threads))
            self._threads += helpers
        for _ in range(helpers):
            self._help()


def _first(runs: deque[ShortRun]) -> ShortRun | None:
    try:
        return runs.popleft()
    except IndexError:
        return None


def _emptied(runs: deque[ShortRun]) -> list[ShortRun]:
    """Take all runs, each of which somebody else may take at the same time."""
    return list(iter(lambda: _first(runs), None))
