"""The HTTP API, version 1: one module for each kind of thing, all on one blueprint."""

from celeriac.web.api import (
    batch,
    bulk,
    dead_letters,
    queues,
    run_details,
    runs,
    statistics,
    tasks,
    workers,
)
from celeriac.web.api.blueprint import api

__all__ = [
    "api",
    "batch",
    "bulk",
    "dead_letters",
    "queues",
    "run_details",
    "runs",
    "statistics",
    "tasks",
    "workers",
]
