"""What an app of ours publishes outside the web, told at once: `delay()`, canvas, `celery beat`.

The submissions of the web are told by who makes them. Everybody else who uses our app, tasks above
all, publishes by Celery's own means; here a thread tells of each message afterwards. Nobody waits
for it, and nothing fails with it: what it cannot tell, the worker that starts the run tells.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from celery import Celery
from celery._state import get_current_worker_task
from celery.signals import worker_process_shutdown
from celery.utils.time import maybe_iso8601, maybe_make_aware

from celeriac.delivery import known_name
from celeriac.events import (
    KEEP_WAITING_S,
    MOST_ENTRIES,
    RECORD_PREFIX,
    STREAM,
    Event,
    EventKind,
    record_fields,
)
from celeriac.fleet.connection import connect_as
from celeriac.queues import queue_by_key
from celeriac.worker_events import ENDED_AT

PAUSE_S = 0.02
RETRY_S = 1.0
BATCH = 200
MOST_WAITING = 10_000
"""What may wait in one process while Redis is away; of what comes then, nothing is told."""
PATIENCE_S = 1.0
"""How long a process that ends waits until all is told."""

_SCRIPT = files("celeriac").joinpath("publishing.lua").read_text()
logger = logging.getLogger(__name__)


def tell_of_publishing(app: Celery) -> None:
    """Have every message of a task that the app publishes from now on told as a submission."""
    amqp: Any = app.amqp
    teller = Teller(app)
    # Celery makes it when it is first used, from what is configured then.
    publisher = cache(amqp._create_task_sender)

    def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
        # A worker may have started the run, and ended it, before this call returns.
        sent_at = datetime.now(UTC)
        _note_retry(message, sent_at)
        sent = publisher()(producer, name, message, **options)
        try:
            if event := _submission(app, message, options, sent_at):
                teller.tell(event)
        except Exception:  # Whatever it is, the message is on its way.
            logger.debug("A submission of %s is not told.", name, exc_info=True)
        return sent

    amqp.send_task_message = send_task_message
    atexit.register(teller.drain)
    worker_process_shutdown.connect(teller.drain, weak=False)


def _note_retry(message: Any, sent_at: datetime) -> None:
    """Keep when an attempt ended whose next one is sent, which is told only afterwards."""
    task = get_current_worker_task()
    if task and (message.headers or {}).get("id") == task.request.id:
        setattr(task.request, ENDED_AT, sent_at)


def _submission(
    app: Any, message: Any, options: Mapping[str, Any], sent_at: datetime
) -> Event | None:
    """Give the event of a new run; a message of one that goes on is none."""
    headers = message.headers or {}
    run_id = headers.get("id")
    if not run_id or headers.get("retries") or run_id == _current_run_id():
        return None
    args, kwargs, _ = message.body
    queue = known_name(app, _queue_of(options) or app.conf.task_default_queue)
    data = app.backend.about_message(headers, args, kwargs, queue)
    eta = maybe_iso8601(headers.get("eta"))
    due = {"eta": maybe_make_aware(eta, app.timezone)} if eta else {}
    return Event(run_id, EventKind.SUBMITTED, sent_at, data | due)


def _current_run_id() -> str | None:
    task = get_current_worker_task()
    return task.request.id if task else None


def _queue_of(options: Mapping[str, Any]) -> str | None:
    queue, exchange = options.get("queue"), options.get("exchange")
    # What is delayed has lost its queue, and keeps it in its key.
    sent = {
        "exchange": getattr(exchange, "name", exchange),
        "routing_key": options.get("routing_key"),
    }
    name: str | None = getattr(queue, "name", queue) or queue_by_key(sent)
    return name


class Teller:
    """Writes submissions in the background; a forked child begins with none."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # A new lock: another thread may have had the former at the instant of the fork.
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()
        self._has_news = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, event: Event) -> None:
        """Take an event and return at once."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return
            self._waiting.append(event)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="celeriac-submissions", daemon=True
                )
                self._thread.start()
        self._has_news.set()

    def drain(self, **_: Any) -> None:
        """Give the thread some time to tell what waits, since the process ends."""
        give_up_at = time.monotonic() + PATIENCE_S
        while self._waiting and time.monotonic() < give_up_at:
            time.sleep(PAUSE_S)

    def _serve(self) -> None:
        client = connect_as(self._app)
        write = client.register_script(_SCRIPT)
        while True:
            self._has_news.wait()
            time.sleep(PAUSE_S)  # Those of a group come together.
            self._has_news.clear()
            try:
                while batch := list(islice(self._waiting, BATCH)):
                    _write(client, write, batch)
                    for _ in batch:
                        self._waiting.popleft()
            except Exception:  # Redis is away; the thread lives, and what is left waits.
                time.sleep(RETRY_S)
                self._has_news.set()


def _write(client: Any, write: Any, events: Sequence[Event]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for event in events:
            fields = [part for pair in record_fields(event).items() for part in pair]
            args = [KEEP_WAITING_S, MOST_ENTRIES, *event.fields().values(), *fields]
            write(keys=[RECORD_PREFIX + event.run_id, STREAM], args=args, client=pipe)
        pipe.execute()
