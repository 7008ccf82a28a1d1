"""Which queue a message came from: a worker is told only its exchange and its routing key."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from celery import Celery

from celeriac.queues import base_of, is_ours, sent_to


def queue_of(app: Celery, delivery: Mapping[str, Any] | None) -> str | None:
    """Name the queue of a message as people know it, or give the key where none fits alone."""
    exchange, key = sent_to(delivery or {})
    if not key:
        return None
    if not exchange and key in app.amqp.queues:
        return known_name(app, key)  # The default exchange knows queues by their names.
    exact, fitting = set(), set()
    for name, bound_exchange, pattern in _bindings(app):
        if exchange in ("", bound_exchange) and pattern == key:
            exact.add(name)
        elif exchange == bound_exchange and _fits(pattern, key):
            fitting.add(name)
    # A topic may reach several queues, and nothing tells which of them this message came from.
    found = exact or fitting
    return known_name(app, found.pop() if len(found) == 1 else key)


def known_name(app: Celery, name: str) -> str:
    """Give the name that people know a queue by."""
    return base_of(name) if is_ours(app.amqp.queues.get(name)) else name


def _bindings(app: Celery) -> Iterator[tuple[str, str, str]]:
    """Give name, exchange and routing key of each queue, once for each way to reach it."""
    for name, queue in list(app.amqp.queues.items()):
        for binding in queue.bindings or (queue,):
            exchange = binding.exchange.name if binding.exchange else ""
            yield name, exchange, binding.routing_key or name


def _fits(pattern: str, key: str) -> bool:
    """Match a topic: `*` stands for one word, `#` for any number of them."""
    if "*" not in pattern and "#" not in pattern:
        return False
    words = re.escape(pattern).replace(r"\*", r"[^.]+").replace(r"\#", ".*")
    return re.fullmatch(words.replace(r"\..*", r"(\..*)?"), key) is not None
