"""A chord goes on when Redis is away for a while, and when a worker dies in the midst of counting.

Celery counts the parts of a chord in Redis as they end. Who counts the last one claims the
callback, publishes it, and notes that it is done. When Redis does not answer there, Celery fails
the chord, or the part. When the worker dies with the claim, the part's message is given out again,
its run finds the claim taken, and nobody ever publishes the callback. Here both wait.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any

from celery._state import get_current_worker_task
from celery.backends.redis import RedisBackend

from celeriac.patience import Patience, is_passing

LOOK_S = 0.2
DONE = b"done"


class ChordBackend(RedisBackend):  # type: ignore[misc]
    """Celery's Redis backend, patient where it counts."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Treat 'cannot write for now' as passing too."""
        return bool(super().exception_safe_to_retry(exc)) or is_passing(exc)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Tell how many parts a chord has, all of which are on their way already."""
        # Whoever is no worker is better told that it failed.
        with self._patient() if get_current_worker_task() else nullcontext():
            super().set_chord_size(group_id, chord_size)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count the end of a part; return only when its callback is seen to, if it was the last."""
        count = partial(super().on_chord_part_return, request, state, result, **kwargs)
        with self._patient():
            count()
            while request.group and self._is_claimed(request.group):
                # Whoever has the claim publishes right now, or has died: then it expires.
                time.sleep(LOOK_S)
                count()

    def _is_claimed(self, group_id: str) -> bool:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.get(self.get_key_for_group(group_id, ".c"))
            pipe.exists(self.get_key_for_group(group_id, ".s"))
            claim, has_size = pipe.execute()
        return claim not in (None, DONE) and bool(has_size)

    @cached_property
    def _patient_client(self) -> Any:
        return self._create_client(**self.connparams, retry=Patience())

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """Wait for Redis as long as it takes; a backend belongs to one thread."""
        usual = self.client
        self.__dict__["client"] = self._patient_client
        try:
            yield
        finally:
            self.__dict__["client"] = usual
