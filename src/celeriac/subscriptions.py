"""Waiting for results by Celery's own means (`get()`, `join()`), which asks Redis only then.

Celery subscribes to each part of a group before it is published, and takes that back when nobody
has the result any more, in whatever thread the garbage is collected just then. With Redis away
either tries for 19 seconds and fails. Here both wait until somebody waits for a result, be it
another one.
"""

from typing import Any

from celery.backends import redis


class ResultConsumer(redis.ResultConsumer):  # type: ignore[misc]
    """Celery's, which remembers what to subscribe to, and from what, until somebody waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wanted: set[str] = set()

    def consume_from(self, task_id: str) -> None:
        """Note that the end of this run is of interest."""
        self._wanted.add(task_id)

    def cancel_for(self, task_id: str) -> None:
        """Note that it is not any more; garbage collection calls this, so it must not wait."""
        self._wanted.discard(task_id)
        key = self._get_key_for_task(task_id)
        if key in self.subscribed_to:
            self._pending_unsubscribe.add(key)

    def on_wait_for_pending(self, result: Any, **options: Any) -> None:
        """Subscribe, and look which results are there already."""
        self._subscribe()
        super().on_wait_for_pending(result, **options)

    def drain_events(self, timeout: float | None = None) -> None:
        """Take what has come, also of what became of interest meanwhile."""
        self._subscribe()
        super().drain_events(timeout)

    def _subscribe(self) -> None:
        """Subscribe to what was noted, and tell of what had ended before."""
        noted = []
        while task_id := self._take():
            super().consume_from(task_id)
            noted.append(self._get_key_for_task(task_id))
        if noted:
            for meta in filter(None, self._ensure(self.backend.client.mget, (noted,))):
                self.on_state_change(self._decode_result(meta), None)

    def _take(self) -> str | None:
        # The garbage collector may empty the set at any moment.
        try:
            return self._wanted.pop()
        except KeyError:
            return None
